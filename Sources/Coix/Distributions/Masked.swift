import CoixParallel

/// A distribution whose log-probability counts only where a mask is not 0.
public struct Masked<Base: Distribution>: Distribution {
  private let base: Base
  private let mask: Tensor

  init(_ base: Base, _ mask: Tensor) {
    self.base = base
    self.mask = mask
  }

  public var shape: Shape {
    guard let batch = Shape.broadcast(mask.shape, base.batchShape) else { return base.shape }
    return batch.appending(base.eventShape)
  }
  public var eventRank: Int { base.eventRank }
  public var parameters: [DistributionParameter] { base.parameters + [.init("mask", mask, .real)] }
  public var finiteSupport: FiniteSupport? { base.finiteSupport?.expanded(to: shape) }
  public func counted(_ value: Tensor) -> Tensor {
    let mask = (0..<eventRank.asRank).reduce(mask) { mask, _ in mask.expandingAxis(at: -1) }
    return select(mask, base.counted(value), 0)
  }
  public func sample(_ draw: Draw) -> Tensor { base.sample(draw) }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    select(mask, base.logProb(of: value), Tensor(0)).summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Masked {
    Masked(base.mapParameters(transform), mask)
  }
}
