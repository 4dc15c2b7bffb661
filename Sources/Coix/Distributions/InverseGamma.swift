import CoixParallel

/// The inverse gamma distribution, that of 1/y for a gamma number y: density β^α x^(-α - 1) exp(-β/x) / Γ(α)
/// on x > 0.
///
/// Draws are inverses of the ``Gamma`` distribution's, as in NumPyro, and clamped to the positive normal
/// floats. Gradients of draws flow to both parameters.
public struct InverseGamma: Distribution {
  /// The concentration (or shape) α > 0.
  public let concentration: Tensor
  /// The gamma distribution's rate β > 0, which is the scale of this distribution; NumPyro's `rate`.
  public let rate: Tensor

  /// An inverse gamma distribution; the parameters broadcast against each other.
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
    let isSmall = concentration .< 1
    let inverse = (rate / draw.gamma(select(isSmall, 1, concentration)))
      .clamped(to: .leastNormalMagnitude ... .greatestFiniteMagnitude)
    guard isSmall.hasNonzero else { return inverse }
    // Small concentrations give gamma numbers that are too small for a float, but whose logarithms are not.
    let small = boundedPositive(rate, timesExp: -draw.logGamma(select(isSmall, concentration, 1)))
    return select(isSmall, small, inverse)
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    logDensity(.inverseGamma, value, concentration, rate).summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> InverseGamma {
    InverseGamma(transform(concentration), transform(rate))
  }
}
