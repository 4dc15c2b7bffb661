import CoixParallel

/// The exponential distribution: density λ exp(-λ x) on x > 0.
///
/// Draws are clamped to the positive normal floats. Gradients of draws flow to the rate.
public struct Exponential: Distribution {
  /// The rate λ > 0.
  public let rate: Tensor

  /// An exponential distribution.
  public init(_ rate: Tensor = 1) { self.rate = rate }

  /// The same distribution, from a number instead of a tensor.
  @_disfavoredOverload
  public init(_ rate: some TensorConvertible) { self.init(rate.asTensor) }

  public var shape: Shape { rate.shape }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] { [.init("rate", rate, .positive)] }

  public func sample(_ draw: Draw) -> Tensor {
    draw.exponential().bounded(overRate: rate)
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    value.logDensity(where: value.isPositive, standIn: 1) { x in
      log(rate) - rate * x
    }.summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Exponential { Exponential(transform(rate)) }
}
