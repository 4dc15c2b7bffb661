import CoixParallel

/// The half-Cauchy distribution, that of the absolute value of a Cauchy number around 0: density 2 / (π γ (1
/// + (x/γ)²)) on x > 0.
///
/// Draws are absolute values of the ``Cauchy`` distribution's, as in NumPyro, and clamped to the positive
/// normal floats. Gradients of draws flow to the scale.
public struct HalfCauchy: Distribution {
  /// The median γ > 0.
  public let scale: Tensor

  /// A half-Cauchy distribution.
  public init(_ scale: Tensor = 1) { self.scale = scale }

  /// The same distribution, from a number instead of a tensor.
  @_disfavoredOverload
  public init(_ scale: some TensorConvertible) { self.init(scale.asTensor) }

  public var shape: Shape { scale.shape }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] { [.init("scale", scale, .positive)] }

  public func sample(_ draw: Draw) -> Tensor {
    abs(draw.cauchy() * scale).clamped(to: .leastNormalMagnitude ... .greatestFiniteMagnitude)
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    logDensity(.halfCauchy, value, scale).summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> HalfCauchy { HalfCauchy(transform(scale)) }
}
