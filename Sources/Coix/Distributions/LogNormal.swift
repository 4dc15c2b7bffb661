import CoixParallel

/// The log-normal distribution, that of exp(y) for a normal y: density exp(-½((log x - μ)/σ)²) / (√(2π) σ x) on x > 0.
///
/// Gradients of draws flow to both parameters.
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

  /// The same with numbers, or numbers and tensors.
  @_disfavoredOverload
  public init(_ location: some TensorConvertible, _ scale: some TensorConvertible) {
    self.init(location.asTensor, scale.asTensor)
  }

  public func sample(_ draw: Draw) -> Tensor { exp(draw.normal(location: location, scale: scale)) }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    value.logDensity(where: value.isPositive, standIn: 1) { x in
      let y = log(x)
      return normalLogDensity(y, location: location, scale: scale, reducing: 0) - y
    }.summingLast(reducing)
  }
}
