import CoixParallel

/// A distribution whose last batch axes are one event (NumPyro's `to_event`, `Independent`).
public struct Event<Base: Distribution>: Distribution {
  private let base: Base
  private let count: Int

  init(_ base: Base, _ count: Int) {
    self.base = base
    self.count = count.asRank
  }

  public var shape: Shape { base.shape }
  public var eventRank: Int { base.eventRank.asRank + count }
  public var parameters: [DistributionParameter] { base.parameters }
  public func counted(_ value: Tensor) -> Tensor { base.counted(value) }
  public var finiteSupport: FiniteSupport? { base.finiteSupport }
  public func sample(_ draw: Draw) -> Tensor { base.sample(draw) }
  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    base.logProb(of: value, reducing: reducing.asRank + count)
  }
  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Event {
    Event(base.mapParameters(transform), count)
  }
}
