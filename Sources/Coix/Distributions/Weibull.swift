import CoixParallel

/// The Weibull distribution: density (k/λ) (x/λ)^(k - 1) exp(-(x/λ)^k) on x > 0.
///
/// Draws are λ e^(1/k) for an exponential number e: the inverse of the cumulative distribution function 1 -
/// exp(-(x/λ)^k) at a uniform number, as in JAX. They are clamped to the positive normal floats. Gradients of
/// draws flow to both parameters.
public struct Weibull: Distribution {
  /// The scale λ > 0.
  public let scale: Tensor
  /// The concentration (or shape) k > 0.
  public let concentration: Tensor

  /// A Weibull distribution; the parameters broadcast against each other.
  public init(_ scale: Tensor, _ concentration: Tensor) {
    self.scale = scale
    self.concentration = concentration
  }

  /// The same distribution, from numbers, or from numbers and tensors.
  @_disfavoredOverload
  public init(_ scale: some TensorConvertible, _ concentration: some TensorConvertible) {
    self.init(scale.asTensor, concentration.asTensor)
  }

  public var shape: Shape { Shape.broadcast(scale.shape, concentration.shape) ?? scale.shape }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] {
    [.init("scale", scale, .positive), .init("concentration", concentration, .positive)]
  }

  public func sample(_ draw: Draw) -> Tensor {
    // A uniform number of 0 would give an exponential number of 0.
    let exponential = maximum(draw.exponential(), Tensor(.leastNormalMagnitude))
    return boundedPositive(scale, timesExp: log(exponential) / concentration)
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    logDensity(.weibull, value, scale, concentration).summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Weibull {
    Weibull(transform(scale), transform(concentration))
  }
}
