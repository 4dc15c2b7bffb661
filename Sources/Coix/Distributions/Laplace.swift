import CoixParallel

/// The Laplace distribution: density exp(-|x - μ| / b) / (2b).
///
/// Gradients of draws flow to both parameters.
public struct Laplace: Distribution {
  /// The median μ.
  public let location: Tensor
  /// The scale b > 0.
  public let scale: Tensor

  /// A Laplace distribution; the parameters broadcast against each other.
  public init(_ location: Tensor, _ scale: Tensor) {
    self.location = location
    self.scale = scale
  }

  public var shape: Shape { Shape.broadcast(location.shape, scale.shape) ?? location.shape }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] {
    [.init("location", location, .real), .init("scale", scale, .positive)]
  }

  public func sample(_ draw: Draw) -> Tensor { location + draw.laplace() * scale }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    value.logDensity(where: value.isReal, standIn: 0) { x in
      -abs(x - location) / scale - log(2 * scale)
    }.summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Laplace {
    Laplace(transform(location), transform(scale))
  }
}
