import CoixParallel

/// The gamma distribution: density β^α x^(α - 1) exp(-β x) / Γ(α) on x > 0.
///
/// Draws are kept above 0, and finite, by as little as a float can tell: small concentrations give smaller numbers than there are
/// floats. Gradients of draws flow to both parameters; see `Draw.gamma(_:)`.
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

  public var shape: Shape { Shape.broadcast(concentration.shape, rate.shape) ?? concentration.shape }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] {
    [.init("concentration", concentration, .positive), .init("rate", rate, .positive)]
  }

  public func sample(_ draw: Draw) -> Tensor {
    draw.gamma(concentration).bounded(overRate: rate)
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    value.logDensity(where: value.isPositive, standIn: 1) { x in
      let normalizer = logGamma(concentration) - concentration * log(rate)
      return (concentration - 1) * log(x) - rate * x - normalizer
    }.summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Gamma {
    Gamma(transform(concentration), transform(rate))
  }
}
