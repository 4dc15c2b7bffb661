import CoixParallel

/// The half-normal distribution, that of the absolute value of a centred normal number: density √(2/π)
/// exp(-½(x/σ)²) / σ on x > 0.
///
/// Draws are clamped to the positive normal floats. Gradients of draws flow to the scale.
public struct HalfNormal: Distribution {
  /// The normal distribution's standard deviation σ > 0.
  public let scale: Tensor

  /// A half-normal distribution.
  public init(_ scale: Tensor = 1) { self.scale = scale }

  /// The same distribution, from a number instead of a tensor.
  @_disfavoredOverload
  public init(_ scale: some TensorConvertible) { self.init(scale.asTensor) }

  public var shape: Shape { scale.shape }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] { [.init("scale", scale, .positive)] }

  public func sample(_ draw: Draw) -> Tensor {
    abs(draw.normal() * scale).clamped(to: .leastNormalMagnitude ... .greatestFiniteMagnitude)
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    value.logDensity(where: value.isPositive, standIn: 1) { x in
      normalLogDensity(x, location: 0, scale: scale, reducing: 0) + log(Tensor(2))
    }.summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> HalfNormal { HalfNormal(transform(scale)) }
}
