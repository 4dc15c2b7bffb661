import CoixParallel

/// The gamma distribution: density β^α x^(α - 1) exp(-β x) / Γ(α) on x > 0.
///
/// Draws are clamped to the positive normal floats: small concentrations give numbers too small for a float.
/// Gradients of draws flow to both parameters; see `Draw.gamma(_:)`.
public struct Gamma: Distribution {
  /// The concentration (or shape) α > 0.
  public let concentration: Tensor
  /// The rate β > 0.
  public let rate: Tensor

  /// A gamma distribution; the parameters broadcast against each other.
  public init(_ concentration: Tensor, _ rate: Tensor = 1) {
    self.concentration = concentration
    self.rate = rate
  }

  /// The same distribution, from numbers, or from numbers and tensors.
  @_disfavoredOverload
  public init(_ concentration: some TensorConvertible, _ rate: some TensorConvertible = Tensor(1)) {
    self.init(concentration.asTensor, rate.asTensor)
  }

  public var shape: Shape { Shape.broadcast(concentration.shape, rate.shape) ?? concentration.shape }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] {
    [.init("concentration", concentration, .positive), .init("rate", rate, .positive)]
  }

  public func sample(_ draw: Draw) -> Tensor {
    draw.gamma(concentration).bounded(overRate: rate)
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    logDensity(.gamma, value, concentration, rate).summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Gamma {
    Gamma(transform(concentration), transform(rate))
  }
}
