import CoixParallel

/// The Cauchy distribution: density 1 / (π γ (1 + ((x - x₀)/γ)²)).
///
/// Gradients of draws flow to both parameters.
public struct Cauchy: Distribution, LocationScale {
  /// The median x₀.
  public let location: Tensor
  /// The half width γ > 0 at half the maximum.
  public let scale: Tensor

  /// A Cauchy distribution; the parameters broadcast against each other.
  public init(_ location: Tensor, _ scale: Tensor) {
    self.location = location
    self.scale = scale
  }

  /// The same distribution, from numbers, or from numbers and tensors.
  @_disfavoredOverload
  public init(_ location: some TensorConvertible, _ scale: some TensorConvertible) {
    self.init(location.asTensor, scale.asTensor)
  }

  public func sample(_ draw: Draw) -> Tensor { (location + draw.cauchy() * scale).bounded }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    logDensity(.cauchy, value, location, scale).summingLast(reducing)
  }
}
