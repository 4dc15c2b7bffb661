import CoixParallel

/// y = x xᵀ, from lower triangular matrices whose rows have length 1 and whose diagonal is positive onto
/// correlation matrices.
///
/// Volumes are measured in the elements below the diagonal.
struct CorrelationMatrix: Bijector {
  var domainRank: Int { 2 }

  func forward(_ x: Tensor) -> Tensor {
    guard let size = size(x) else { return refused(x) }
    // Element (i, j) is the sum of x_ik x_jk over the columns k.
    let product = (x.expandingAxis(at: -2) * x.expandingAxis(at: -3)).sum(axis: -1)
    return select(.identity(size), 1, product)
  }

  func inverse(_ y: Tensor) -> Tensor { cholesky(y) }

  /// Row i of y below the diagonal, counted from 1, is row i of x times a triangular matrix with the diagonal
  /// x_11, …, x_(i-1)(i-1).
  func logDeterminant(from x: Tensor, to y: Tensor) -> Tensor {
    guard let size = size(x) else { return refused(x) }
    let rowsBelow = Tensor((0..<size).map { Float(size - 1 - $0) })
    return (rowsBelow * logDiagonalOfUnitRows(x)).sum(axis: -1)
  }

  func contains(_ y: Tensor) -> Tensor {
    guard size(y) != nil else { return refused(y) }
    let axes = Array(0..<y.shape.rank)
    let mirrored = y.transposed(permutation: axes.dropLast(2) + axes.suffix(2).reversed())
    let isSymmetric = (abs(y - mirrored) .<= 1e-8 + 1e-5 * abs(mirrored)).allOfLast(2)
    let isUnit = (abs(y.diagonal - 1) .< 1e-6).allOfLast(1)
    let isDefinite = (cholesky(y.detached).diagonal .> 0).allOfLast(1)
    return isSymmetric * isUnit * isDefinite
  }

  private func size(_ x: Tensor) -> Int? {
    guard let size = x.shape.last, x.shape.rank >= 2, x.shape[x.shape.rank - 2] == size else { return nil }
    return size
  }

  private func refused(_ x: Tensor) -> Tensor {
    Tensor.mismatch("CorrelationMatrix", [x.shape], "needs square matrices")
  }
}

/// The logarithms of the diagonals of lower triangular matrices `[..., n, n]` whose rows have length 1.
/// Gradients flow to the diagonals.
///
/// Where a diagonal element is so close to 1 that its logarithm would lack digits, the logarithm is computed
/// from the elements before it in its row.
func logDiagonalOfUnitRows(_ factor: Tensor) -> Tensor {
  let size = factor.shape.last ?? 0
  let direct = log(factor.diagonal)
  let before = select(.lowerTriangle(size) - .identity(size), factor.detached, 0).squared.sum(axis: -1)
  let isClose = before .< 0.25
  return direct + select(isClose, log1p(-select(isClose, before, 0)) / 2 - direct.detached, 0)
}
