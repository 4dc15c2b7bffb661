import CoixParallel

/// y = location + scale · x, number by number. A result too large for a float becomes the nearest finite
/// number.
public struct Affine: Bijector {
  /// The number that is added.
  public let location: Tensor
  /// The factor: not 0, but possibly negative.
  public let scale: Tensor

  /// An affine map; the parameters broadcast against the numbers.
  public init(_ location: Tensor, _ scale: Tensor) {
    self.location = location
    self.scale = scale
  }

  /// The same map, from numbers, or from numbers and tensors.
  @_disfavoredOverload
  public init(_ location: some TensorConvertible, _ scale: some TensorConvertible) {
    self.init(location.asTensor, scale.asTensor)
  }

  public func codomainShape(for domain: Shape) -> Shape? {
    Shape.broadcast(domain, location.shape).flatMap { Shape.broadcast($0, scale.shape) }
  }
  public func forward(_ x: Tensor) -> Tensor { (location + scale * x).bounded }
  public func inverse(_ y: Tensor) -> Tensor { (y - location) / scale }
  public func logDeterminant(from x: Tensor, to y: Tensor) -> Tensor {
    log(abs(scale)).broadcast(to: y.shape)
  }
  public func contains(_ y: Tensor) -> Tensor { y.isReal }
  public var parameters: [DistributionParameter] {
    [.init("location", location, .real), .init("scale", scale, .nonzero)]
  }
  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Affine {
    Affine(transform(location), transform(scale))
  }
}
