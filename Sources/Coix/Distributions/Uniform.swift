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

  /// The same distribution, from numbers, or from numbers and tensors.
  @_disfavoredOverload
  public init(_ low: some TensorConvertible, _ high: some TensorConvertible = Tensor(1)) {
    self.init(low.asTensor, high.asTensor)
  }

  public var shape: Shape { Shape.broadcast(low.shape, high.shape) ?? low.shape }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] {
    [.init("low", low, .real), .init("high", high, .real), .init("high - low", high - low, .above0)]
  }

  public func sample(_ draw: Draw) -> Tensor {
    let (u, width) = (draw.uniform(), high - low)
    // A width that is too large for a float must not enter a product.
    let isWide = width .== .infinity
    let x = maximum(low, u * select(isWide, 1, width) + low)
    return isWide.hasNonzero ? select(isWide, high * u + low * (1 - u), x) : x
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    logDensity(.uniform, value, low, high).summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Uniform {
    Uniform(transform(low), transform(high))
  }
}
