import CoixParallel

/// The uniform distribution on [low, high], both ends included in the support.
public struct Uniform: Distribution {
  /// The lower end.
  public let low: Tensor
  /// The upper end, above the lower one.
  public let high: Tensor

  /// A uniform distribution; the ends broadcast against each other.
  public init(_ low: Tensor = 0, _ high: Tensor = 1) {
    self.low = low
    self.high = high
  }

  public var shape: Shape { Shape.broadcast(low.shape, high.shape) ?? low.shape }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] {
    [.init("low", low, .real), .init("high", high, .real), .init("high - low", high - low, .positive)]
  }

  public func sample(_ draw: Draw) -> Tensor {
    maximum(low, draw.uniform() * (high - low) + low)
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    let inside = (value .>= low) * (value .<= high)
    return (-log(high - low)).supported(where: inside).summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Uniform {
    Uniform(transform(low), transform(high))
  }
}
