import CoixParallel

/// The Laplace distribution: density exp(-|x - μ| / b) / (2b).
///
/// Gradients of draws flow to both parameters.
public struct Laplace: Distribution, LocationScale {
  /// The median μ.
  public let location: Tensor
  /// The scale b > 0.
  public let scale: Tensor

  /// A Laplace distribution; the parameters broadcast against each other.
  public init(_ location: Tensor, _ scale: Tensor) {
    self.location = location
    self.scale = scale
  }

  /// The same distribution, from numbers, or from numbers and tensors.
  @_disfavoredOverload
  public init(_ location: some TensorConvertible, _ scale: some TensorConvertible) {
    self.init(location.asTensor, scale.asTensor)
  }

  public func sample(_ draw: Draw) -> Tensor { (location + draw.laplace() * scale).bounded }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    logDensity(.laplace, value, location, scale).summingLast(reducing)
  }
}
