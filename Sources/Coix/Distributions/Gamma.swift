import CoixParallel

/// The gamma distribution: density β^α x^(α - 1) exp(-β x) / Γ(α) on x > 0.
///
/// Draws are kept above 0, and finite, by as little as a float can tell: small concentrations give smaller
/// numbers than there are floats. Gradients of draws flow to both parameters; see `Draw.gamma(_:)`.
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

  /// The same with numbers, or numbers and tensors.
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
