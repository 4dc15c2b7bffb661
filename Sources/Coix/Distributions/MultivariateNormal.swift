import CoixParallel

/// The normal distribution of vectors: density exp(-½ |L⁻¹(x - μ)|²) / ((2π)^(n/2) Π L_ii), with covariance L
/// Lᵀ.
///
/// Draws are μ + L ε with standard normal ε, so gradients flow to both parameters.
public struct MultivariateNormal: Distribution {
  /// The mean μ: `[..., n]`, or a single number for all components.
  public let location: Tensor
  /// The covariance's lower triangular factor L, with a positive diagonal: `[..., n, n]`.
  public let choleskyFactor: Tensor
  /// The covariance, if that was given.
  private let covariance: Tensor?

  /// A normal distribution with a given Cholesky factor of its covariance; the axes before `[n]` and `[n, n]`
  /// broadcast.
  public init(_ location: Tensor, choleskyFactor: Tensor) {
    self.init(location, choleskyFactor: choleskyFactor, covariance: nil)
  }

  /// The same distribution, from numbers and arrays of numbers.
  @_disfavoredOverload
  public init(_ location: some TensorConvertible, choleskyFactor: some TensorConvertible) {
    self.init(location.asTensor, choleskyFactor: choleskyFactor.asTensor)
  }

  private init(_ location: Tensor, choleskyFactor: Tensor, covariance: Tensor?) {
    self.location = location
    self.choleskyFactor = choleskyFactor
    self.covariance = covariance
  }

  /// A normal distribution with a given covariance `[..., n, n]`, which is symmetric (up to rounding) and
  /// positive definite; only its lower triangle is read.
  public init(_ location: Tensor, covariance: Tensor) {
    self.init(location, choleskyFactor: cholesky(covariance), covariance: covariance)
  }

  /// The same distribution, from numbers and arrays of numbers.
  @_disfavoredOverload
  public init(_ location: some TensorConvertible, covariance: some TensorConvertible) {
    self.init(location.asTensor, covariance: covariance.asTensor)
  }

  public var shape: Shape {
    let vector = Shape(choleskyFactor.shape.dropLast())
    return Shape.broadcast(location.shape, vector) ?? vector
  }
  public var eventRank: Int { 1 }
  public var parameters: [DistributionParameter] {
    if let covariance, covariance.shape.rank >= 2 {
      let rank = covariance.shape.rank
      let transpose = covariance.transposed(permutation: Array(0..<rank - 2) + [rank - 1, rank - 2])
      let difference = covariance - transpose
      let isRounding = abs(difference) .<= 1e-5 * maximum(abs(covariance), abs(transpose))
      return [
        .init("location", location, .real),
        .init("covariance", choleskyFactor.diagonal, .positiveDefinite),
        .init("covariance less its transpose", select(isRounding, 0, difference), .zero),
      ]
    }
    let upper = 1 - Tensor.lowerTriangle(choleskyFactor.shape.last ?? 0)
    return [
      .init("location", location, .real),
      .init("diagonal of the Cholesky factor", choleskyFactor.diagonal, .positive),
      .init("upper triangle of the Cholesky factor", select(upper, choleskyFactor, 0), .zero),
    ]
  }

  public func sample(_ draw: Draw) -> Tensor {
    let sizes = choleskyFactor.shape.suffix(2)
    guard draw.shape.rank > 0, sizes.count == 2, sizes.first == sizes.last else { return refused }
    return location + (choleskyFactor * draw.normal().expandingAxis(at: -2)).sum(axis: -1)
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    guard value.shape.rank > 0, value.shape.last == choleskyFactor.shape.last else { return refused }
    let isReal = value.isReal.allOfLast(1)
    let x = select(isReal.expandingAxis(at: -1), value, 0)
    let standard = solveLowerTriangular(choleskyFactor, x - location)
    let dimension = Float(choleskyFactor.shape.last ?? 0)
    let normalizer =
      log(choleskyFactor.diagonal).sum(axis: -1) + dimension / 2 * log(Tensor(2 * .pi))
    return (standard.squared.sum(axis: -1) / -2 - normalizer).supported(where: isReal).summingLast(reducing)
  }

  private var refused: Tensor {
    Tensor.mismatch(
      "MultivariateNormal", of: tensors, shapes: [location.shape, choleskyFactor.shape],
      "needs vectors [..., n], matrices [..., n, n]")
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> MultivariateNormal {
    MultivariateNormal(
      transform(location), choleskyFactor: transform(choleskyFactor), covariance: covariance.map(transform))
  }
}
