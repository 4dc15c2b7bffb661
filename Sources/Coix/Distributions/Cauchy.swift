import CoixParallel

/// The Cauchy distribution: density 1 / (π γ (1 + ((x - x₀)/γ)²)).
///
/// Gradients of draws flow to both parameters.
public struct Cauchy: Distribution {
  /// The median x₀.
  public let location: Tensor
  /// The half width γ > 0 at half the maximum.
  public let scale: Tensor

  /// A Cauchy distribution; the parameters broadcast against each other.
  public init(_ location: Tensor, _ scale: Tensor) {
    self.location = location
    self.scale = scale
  }

  public var shape: Shape { Shape.broadcast(location.shape, scale.shape) ?? location.shape }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] {
    [.init("location", location, .real), .init("scale", scale, .positive)]
  }

  public func sample(_ draw: Draw) -> Tensor { location + draw.cauchy() * scale }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    value.logDensity(where: value.isReal, standIn: 0) { x in
      -log(Tensor(.pi)) - log(scale) - log1p(((x - location) / scale).squared)
    }.summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Cauchy {
    Cauchy(transform(location), transform(scale))
  }
}
