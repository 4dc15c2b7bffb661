import CoixParallel

/// Student's t distribution: density Γ((ν+1)/2) / (Γ(ν/2) √(πν) σ) (1 + ((x - μ)/σ)²/ν)^(-(ν+1)/2).
///
/// Draws are μ + σ ε √(ν/c) with normal ε and chi-squared c; gradients flow to all three parameters.
public struct StudentT: Distribution {
  /// The degrees of freedom ν > 0.
  public let degreesOfFreedom: Tensor
  /// The median μ.
  public let location: Tensor
  /// The scale σ > 0.
  public let scale: Tensor

  /// A t distribution; the parameters broadcast against each other.
  public init(_ degreesOfFreedom: Tensor, _ location: Tensor = 0, _ scale: Tensor = 1) {
    self.degreesOfFreedom = degreesOfFreedom
    self.location = location
    self.scale = scale
  }

  /// The same distribution, from numbers, or from numbers and tensors.
  @_disfavoredOverload
  public init(
    _ degreesOfFreedom: some TensorConvertible, _ location: some TensorConvertible = Tensor(0),
    _ scale: some TensorConvertible = Tensor(1)
  ) {
    self.init(degreesOfFreedom.asTensor, location.asTensor, scale.asTensor)
  }

  public var shape: Shape {
    Shape.broadcast(location.shape, scale.shape).flatMap { Shape.broadcast($0, degreesOfFreedom.shape) }
      ?? location.shape
  }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] {
    [
      .init("degreesOfFreedom", degreesOfFreedom, .positive), .init("location", location, .real),
      .init("scale", scale, .positive),
    ]
  }

  public func sample(_ draw: Draw) -> Tensor {
    (location + scale * draw.studentT(degreesOfFreedom: degreesOfFreedom)).bounded
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    logDensity(.studentT, value, degreesOfFreedom, location, scale).summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> StudentT {
    StudentT(transform(degreesOfFreedom), transform(location), transform(scale))
  }
}
