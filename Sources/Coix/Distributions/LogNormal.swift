import CoixParallel

/// The log-normal distribution, that of exp(y) for a normal y: density exp(-½((log x - μ)/σ)²) / (√(2π) σ x)
/// on x > 0.
///
/// Gradients of draws flow to both parameters. A draw remembers y; see ``Transformed``.
public struct LogNormal: Distribution, LocationScale {
  /// The mean μ of the logarithm.
  public let location: Tensor
  /// The standard deviation σ > 0 of the logarithm.
  public let scale: Tensor

  /// A log-normal distribution; the parameters broadcast against each other.
  public init(_ location: Tensor, _ scale: Tensor) {
    self.location = location
    self.scale = scale
  }

  /// The same distribution, from numbers, or from numbers and tensors.
  @_disfavoredOverload
  public init(_ location: some TensorConvertible, _ scale: some TensorConvertible) {
    self.init(location.asTensor, scale.asTensor)
  }

  public func sample(_ draw: Draw) -> Tensor {
    Exp().image(of: draw.normal(location: location, scale: scale))
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    Normal(location, scale).transformed(by: Exp()).logProb(of: value, reducing: reducing)
  }
}
