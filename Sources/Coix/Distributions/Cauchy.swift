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

  public func sample(_ draw: Draw) -> Tensor { (location + draw.cauchy() * scale).bounded }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    value.logDensity(where: value.isReal, standIn: 0) { x in
      -log(Tensor(.pi)) - log(scale) - log1p(((x - location) / scale).squared)
    }.summingLast(reducing)
  }
}
