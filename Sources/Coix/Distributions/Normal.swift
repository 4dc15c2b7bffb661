import CoixParallel

/// The normal distribution: density exp(-½((x - μ)/σ)²) / (√(2π) σ).
///
/// Draws are μ + σ ε with standard normal ε, so gradients flow to both parameters.
public struct Normal: Distribution, LocationScale {
  /// The mean μ.
  public let location: Tensor
  /// The standard deviation σ > 0.
  public let scale: Tensor

  /// A normal distribution; the parameters broadcast against each other.
  public init(_ location: Tensor, _ scale: Tensor) {
    self.location = location
    self.scale = scale
  }

  /// The same distribution, from numbers, or from numbers and tensors.
  @_disfavoredOverload
  public init(_ location: some TensorConvertible, _ scale: some TensorConvertible) {
    self.init(location.asTensor, scale.asTensor)
  }

  public func sample(_ draw: Draw) -> Tensor { draw.normal(location: location, scale: scale) }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    normalLogDensity(value, location: location, scale: scale, reducing: reducing)
  }
}
