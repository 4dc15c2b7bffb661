import CoixParallel

/// The Poisson distribution of counts 0, 1, 2, …, kept as floats: probability λ^x exp(-λ) / x!.
///
/// Draws have no gradient; see `Draw.poisson(_:)`. Values that are not whole are outside of the support.
public struct Poisson: Distribution {
  /// The rate λ ≥ 0, which is mean and variance.
  public let rate: Tensor

  /// A Poisson distribution.
  public init(_ rate: Tensor) { self.rate = rate }

  /// The same distribution, from a number instead of a tensor.
  @_disfavoredOverload
  public init(_ rate: some TensorConvertible) { self.init(rate.asTensor) }

  public var shape: Shape { rate.shape }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] { [.init("rate", rate, .nonnegative)] }

  public func sample(_ draw: Draw) -> Tensor { draw.poisson(rate) }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    logDensity(.poisson, value, rate).summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Poisson { Poisson(transform(rate)) }
}
