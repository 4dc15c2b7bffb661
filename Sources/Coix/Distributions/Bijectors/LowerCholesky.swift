import CoixParallel

/// Maps vectors of n (n + 1) / 2 numbers onto lower triangular matrices `[n, n]` with a positive diagonal.
///
/// The vector has the numbers below the diagonal, row by row, then the logarithms of the diagonal (as
/// NumPyro's `LowerCholeskyTransform`). Volumes are measured in the elements of the lower triangle.
public struct LowerCholesky: Bijector {
  /// The map to Cholesky factors.
  public init() {}

  public var domainRank: Int { 1 }
  public var codomainRank: Int { 2 }
  public func codomainShape(for domain: Shape) -> Shape? {
    size(domain).map { Shape(domain.dropLast() + [$0, $0]) }
  }

  public func forward(_ x: Tensor) -> Tensor {
    guard let size = size(x.shape) else { return refused(x) }
    let diagonal = logDiagonal(x, size).boundedExponential
    let rows = (0..<size).map { row in
      Tensor.concatenate(
        [
          x.sliced(axis: -1, row * (row - 1) / 2..<row * (row + 1) / 2),
          diagonal.sliced(axis: -1, row..<row + 1),
          .zeros(Shape(x.shape.dropLast() + [size - 1 - row])),
        ], axis: -1)
    }
    return Tensor.stack(rows, axis: -2)
  }

  public func inverse(_ y: Tensor) -> Tensor {
    guard y.shape.rank >= 2, let size = y.shape.last, size > 0 else { return refused(y) }
    let rows = (0..<size).map { row in y.selecting(row, axis: -2).sliced(axis: -1, 0..<row) }
    return Tensor.concatenate(rows + [log(y.diagonal)], axis: -1)
  }

  public func logDeterminant(from x: Tensor, to y: Tensor) -> Tensor {
    guard let size = size(x.shape) else { return refused(x) }
    return logDiagonal(x, size).sum(axis: -1)
  }

  public func contains(_ y: Tensor) -> Tensor {
    guard y.shape.rank >= 2, let size = y.shape.last, size > 0 else { return refused(y) }
    let isLower = select(.lowerTriangle(size), y.isReal, y .== 0).allOfLast(2)
    return isLower * (y.diagonal .> 0).allOfLast(1)
  }

  /// The size of the matrices that vectors of this shape give.
  private func size(_ shape: Shape) -> Int? {
    guard let count = shape.last, count > 0 else { return nil }
    let size = Int((Double(8 * count + 1).squareRoot() - 1) / 2)
    return size * (size + 1) / 2 == count ? size : nil
  }

  private func logDiagonal(_ x: Tensor, _ size: Int) -> Tensor {
    let count = size * (size + 1) / 2
    return x.sliced(axis: -1, count - size..<count)
  }

  private func refused(_ x: Tensor) -> Tensor {
    Tensor.mismatch("LowerCholesky", of: [x], "needs vectors [..., n (n + 1) / 2], matrices [..., n, n]")
  }
}
