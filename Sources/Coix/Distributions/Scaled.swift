import CoixParallel

/// A distribution whose log-probability is multiplied by a factor, as if its value were observed that many
/// times.
public struct Scaled<Base: Distribution>: Distribution {
  private let base: Base
  private let factor: Tensor

  init(_ base: Base, _ factor: Tensor) {
    self.base = base
    self.factor = factor
  }

  public var shape: Shape { base.shape }
  public var eventRank: Int { base.eventRank }
  public var parameters: [DistributionParameter] {
    base.parameters + [.init("factor", factor, .nonnegative)]
  }
  public func counted(_ value: Tensor) -> Tensor { base.counted(value) }
  public var finiteSupport: FiniteSupport? { base.finiteSupport }
  public func sample(_ draw: Draw) -> Tensor { base.sample(draw) }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    factor.shape == .scalar
      ? weighted(base.logProb(of: value, reducing: reducing))
      : weighted(base.logProb(of: value)).summingLast(reducing)
  }

  /// A log-density times the factor; 0 where the factor is 0, whatever the log-density.
  private func weighted(_ density: Tensor) -> Tensor { select(factor, factor * density, 0) }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Scaled {
    Scaled(base.mapParameters(transform), factor)
  }
}
