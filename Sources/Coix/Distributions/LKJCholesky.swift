import CoixParallel

/// Lower Cholesky factors L of correlation matrices of the ``LKJ`` distribution: density proportional to Π
/// L_ii^(n - i + 2η - 2), over i = 2, …, n, with respect to the numbers below the diagonal.
///
/// Rows of L have length 1. Draws are made by the onion method, as NumPyro's are by default: the squared
/// length of each row below the diagonal is a beta number, its direction uniform. Gradients of draws flow to
/// the concentration. See Lewandowski, Kurowicka and Joe, "Generating random correlation matrices based on
/// vines and extended onion method" (2009).
public struct LKJCholesky: Distribution {
  /// The number n ≥ 2 of rows and columns.
  public let dimension: Int
  /// The concentration η > 0: 1 gives all correlation matrices the same density, larger values favour weak
  /// correlations, and smaller values strong ones.
  public let concentration: Tensor

  /// A distribution of matrices `[dimension, dimension]`.
  public init(_ dimension: Int, _ concentration: Tensor = 1) {
    self.dimension = dimension
    self.concentration = concentration
  }

  /// The same distribution, with a number as concentration.
  @_disfavoredOverload
  public init(_ dimension: Int, _ concentration: some TensorConvertible) {
    self.init(dimension, concentration.asTensor)
  }

  public var shape: Shape { concentration.shape.appending([dimension, dimension]) }
  public var eventRank: Int { 2 }
  public var parameters: [DistributionParameter] { [.init("concentration", concentration, .positive)] }

  public func sample(_ draw: Draw) -> Tensor {
    guard dimension >= 2, draw.shape.suffix(2) == [dimension, dimension] else { return refused }
    let (betaKey, normalKey) = draw.key.split()
    // For each row from the second on, how many numbers stand before the diagonal.
    let counts = Tensor((1..<dimension).map(Float.init))
    let squaredLengths = Beta(
      counts / 2, (concentration + Float(dimension) / 2).expandingAxis(at: -1) - (counts + 1) / 2
    )
    .sample(draw.with(key: betaKey).replacingAxes(last: 2, with: [dimension - 1]))
    let normals = draw.with(key: normalKey)
      .replacingAxes(last: 2, with: [dimension * (dimension - 1) / 2]).normal()
    if let poisoned = [squaredLengths, normals].first(where: { $0.failure != nil }) { return poisoned }
    let batch = Shape(squaredLengths.shape.dropLast())
    let first = Tensor([1] + [Float](repeating: 0, count: dimension - 1))
    let rows = (1..<dimension).map { row in
      let along = normals.sliced(axis: -1, row * (row - 1) / 2..<row * (row + 1) / 2)
      // A vector of zeros has no direction; a vector of ones replaces it.
      let vector = along + (along.squared.sum(axis: -1).expandingAxis(at: -1) .== 0)
      let squaredLength = squaredLengths.sliced(axis: -1, row - 1..<row)
      let numbers = vector * sqrt(squaredLength / vector.squared.sum(axis: -1).expandingAxis(at: -1))
      let zeros = Tensor.zeros(batch.appending([dimension - row - 1]))
      return Tensor.concatenate([numbers, sqrt(1 - squaredLength), zeros], axis: -1)
    }
    return Tensor.stack([first.broadcast(to: batch.appending([dimension]))] + rows, axis: -2)
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    guard dimension >= 2, value.shape.suffix(2) == [dimension, dimension] else { return refused }
    let isLower = ((value .== 0) + .lowerTriangle(dimension)).allOfLast(2)
    let isUnit = abs(value.squared.sum(axis: -1) - 1) .< 20 * Float(dimension) * .ulpOfOne
    let isInside = isLower * isUnit.allOfLast(1) * (value.diagonal .> 0).allOfLast(1)
    let mask = isInside.expandingAxis(at: -1).expandingAxis(at: -1)
    let factor = select(mask, value, .identity(dimension))
    // The first row is the same in all factors.
    let logDiagonal = logDiagonalOfUnitRows(factor).sliced(axis: -1, 1..<dimension)
    let orders =
      Tensor((1..<dimension).map { Float(dimension - $0 - 3) }) + 2 * concentration.expandingAxis(at: -1)
    let density = (orders * logDiagonal).sum(axis: -1) - logNormalizer
    return density.supported(where: isInside).summingLast(reducing)
  }

  /// The logarithm of the density's integral: the sum, over the rows with k numbers before the diagonal, of
  /// log of π^(k/2) Γ(η + (n - 1 - k)/2) / Γ(η + (n - 1)/2) = π^(k/2) B(k/2, η + (n - 1 - k)/2) / Γ(k/2).
  private var logNormalizer: Tensor {
    let counts = Tensor((1..<dimension).map(Float.init))
    let rest = (concentration + Float(dimension - 1) / 2).expandingAxis(at: -1) - counts / 2
    return (counts / 2 * log(Tensor(.pi)) - logGamma(counts / 2) + logBeta(counts / 2, rest)).sum(axis: -1)
  }

  private var refused: Tensor {
    Tensor.mismatch("LKJCholesky", [shape], "needs square matrices of at least two rows")
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> LKJCholesky {
    LKJCholesky(dimension, transform(concentration))
  }
}
