import CoixParallel

/// A family of distributions of numbers whose parameters are a location and a scale. Its extension has
/// everything except sampling and the density.
protocol LocationScale: Distribution {
  /// The location: any real number.
  var location: Tensor { get }
  /// The scale: above 0.
  var scale: Tensor { get }

  /// A distribution of the family; the parameters broadcast against each other.
  init(_ location: Tensor, _ scale: Tensor)
}

extension LocationScale {
  public var shape: Shape { Shape.broadcast(location.shape, scale.shape) ?? location.shape }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] {
    [.init("location", location, .real), .init("scale", scale, .positive)]
  }
  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Self {
    Self(transform(location), transform(scale))
  }
}
