import CoixKernels

// Triangular matrices along the last two axes. Axes before them number several matrices, and each particle
// may have its own matrices.

/// The vectors x with L x = b, for lower triangular matrices L.
///
/// - Parameters:
///   - factor: `[..., n, n]`; elements above the diagonal are not read, and their gradient is 0.
///   - b: `[..., n]`; the axes before the last broadcast against those before the matrices'.
/// - Returns: the broadcast axes, then `[n]`. Elements are infinite or NaN if the diagonal has a 0. Poisoned
///   if the shapes don't fit.
public func solveLowerTriangular(_ factor: Tensor, _ b: Tensor) -> Tensor {
  let name = "solveLowerTriangular"
  if let refusal = factor.refusal(name) ?? b.refusal(name) { return refusal }
  if Tensor.differInRows(factor, b) { return solveLowerTriangular(factor.inAllRows, b.inAllRows) }
  guard let size = factor.matrixSize, b.shape.last == size,
    let batch = Shape.broadcast(Shape(factor.shape.dropLast(2)), Shape(b.shape.dropLast()))
  else {
    return Tensor.mismatch(name, [factor.shape, b.shape], "needs matrices [..., n, n] and vectors [..., n]")
  }
  let (vectors, matrices) = (batch.appending([size]), batch.appending([size, size]))
  if let refusal = Tensor.refusal(name, toMake: vectors, like: factor.isBatched ? factor : b) {
    return refusal
  }
  // A single matrix serves for all vectors. Several matrices are copied, so that there is one for each
  // vector.
  if factor.shape.rank > 2, let refusal = Tensor.refusal(name, toMake: matrices, like: factor) {
    return refusal
  }
  return TriangularSolution(factor: factor, vectors: vectors, matrices: matrices, size: size)(b)
}

/// How the equations L x = b, or Lᵀ x = b, are solved.
private struct TriangularSolution {
  let factor: Tensor
  /// The shape of the solutions, and that of as many matrices.
  let (vectors, matrices): (Shape, Shape)
  let size: Int
  var isTransposed = false

  /// The solution for a right-hand side, with its gradient.
  func callAsFunction(_ b: Tensor) -> Tensor {
    let x = solved(b)
    guard let tape = Tape.recording(factor, b) else { return x }
    let (nodes, output) = ([tape.node(of: factor), tape.node(of: b)], tape.upcoming(x))
    return tape.record(
      x,
      .several(nodes) { gradient, isWanted in
        // With Lᵀ y = gradient, the gradient of b is y, and that of L is -y xᵀ on and below the diagonal.
        // With L and its transpose exchanged, it is -x yᵀ there.
        var opposite = self
        opposite.isTransposed.toggle()
        var y = opposite(gradient)
        if y.hasNonfinite { y = y.zeroed(unless: gradient.anyNonzero(axis: -1)) }
        guard isWanted[0] else { return [nil, y] }
        let products =
          isTransposed
          ? y.expandingAxis(at: -2).seed(times: output.expandingAxis(at: -1))
          : y.expandingAxis(at: -1).seed(times: output.expandingAxis(at: -2))
        return [select(.lowerTriangle(size), -products, 0), isWanted[1] ? y : nil]
      })
  }

  private func solved(_ b: Tensor) -> Tensor {
    let batched = factor.isBatched ? factor : b
    let isShared = factor.shape.rank == 2
    let plain = isShared ? factor.detached : factor.detached.stretched(to: matrices)
    guard let result = Tensor(undefined: vectors, like: batched) else { return .outOfMemory }
    // The right-hand side in full: a value for each vector, and for each row if the matrices differ by row.
    let full = b.detached.stretched(to: vectors, like: batched)
    if full.isPoisoned || plain.isPoisoned { return full.isPoisoned ? full : plain }
    coix_op_solve_triangular(
      plain.pointer, isShared ? 0 : size * size * plain.rowCount, plain.isBatched ? 1 : 0, full.pointer,
      result.pointer, vectors.product(0..<vectors.rank - 1), size, batched.rowCount, isTransposed ? 1 : 0
    ).run()
    return result
  }
}

/// The lower triangular factors L with L Lᵀ = matrix and a positive diagonal.
///
/// - Parameter matrix: `[..., n, n]`, symmetric and positive definite; only the lower triangle is read. The
///   gradient is symmetric, as in JAX's `cholesky`.
/// - Returns: the same shape, with zeros above the diagonal; NaN where a matrix is not positive definite.
///   Poisoned if the last two axes differ.
public func cholesky(_ matrix: Tensor) -> Tensor {
  if let refusal = matrix.refusal("cholesky") { return refusal }
  guard let size = matrix.matrixSize else {
    return Tensor.mismatch("cholesky", [matrix.shape], "needs square matrices along the last two axes")
  }
  let count = matrix.shape.product(0..<matrix.shape.rank - 2)
  guard let factor = Tensor(undefined: matrix.shape, like: matrix) else { return .outOfMemory }
  coix_op_cholesky(matrix.pointer, factor.pointer, count, size, matrix.rowCount).run()
  return factor.recorded(
    from: matrix,
    withOutput: { factor in
      { gradient in
        guard let result = Tensor(undefined: gradient.shape, like: gradient) else { return .outOfMemory }
        coix_op_copy(
          gradient.pointer, 0, 1, result.pointer, 0, 1, gradient.shape.elementCount * gradient.rowCount
        ).run()
        coix_op_cholesky_backward(factor.pointer, result.pointer, count, size, gradient.rowCount).run()
        let slope = result.differentiated { factor.choleskySlope(gradient) }
        guard result.hasNonfinite else { return slope }
        return slope.zeroed(unless: gradient.anyNonzero(axis: -1).anyNonzero(axis: -2))
      }
    })
}

extension Tensor {
  /// The gradient of a matrix, in operators, from that of its lower triangular factor, this tensor. With
  /// Φ(A) the lower triangle of A and half its diagonal, it is the symmetric part of L⁻ᵀ Φ(Lᵀ G) L⁻¹
  /// (Murray, "Differentiation of the Cholesky decomposition", 2016).
  fileprivate func choleskySlope(_ gradient: Tensor) -> Tensor {
    let size = shape[shape.rank - 1]
    let lower = Tensor.lowerTriangle(size) * select(.identity(size), 0.5, 1)
    let columns = expandingAxis(at: -1) * select(.lowerTriangle(size), gradient, 0).expandingAxis(at: -2)
    let product = columns.sum(axis: -3) * lower
    let solution = TriangularSolution(
      factor: expandingAxis(at: -3), vectors: shape, matrices: shape.appending([size]), size: size,
      isTransposed: true)
    let slope = solution(solution(product.matrixTransposed).matrixTransposed)
    return (slope + slope.matrixTransposed) / 2
  }

  private var matrixTransposed: Tensor {
    transposed(permutation: Array(0..<shape.rank - 2) + [shape.rank - 1, shape.rank - 2])
  }
}

extension Tensor {
  /// The diagonals of the matrices along the last two axes: `[..., n, n]` gives `[..., n]`.
  ///
  /// Poisoned if the last two axes differ.
  public var diagonal: Tensor {
    if let refusal = refusal("diagonal") { return refusal }
    guard let size = matrixSize else {
      return Self.mismatch("diagonal", [shape], "needs square matrices along the last two axes")
    }
    return select(.identity(size), self, 0).sum(axis: -1)
  }

  /// The matrix `[size, size]` with ones on the diagonal and zeros elsewhere; poisoned for a negative size.
  public static func identity(_ size: Int) -> Tensor { matrix(size) { $0 == $1 } }

  /// The matrix `[size, size]` with ones on the diagonal and below, zeros above; poisoned for a negative
  /// size.
  public static func lowerTriangle(_ size: Int) -> Tensor { matrix(size) { $0 >= $1 } }

  private static func matrix(_ size: Int, _ isOne: (_ row: Int, _ column: Int) -> Bool) -> Tensor {
    let shape: Shape = [size, size]
    guard shape.isValid else { return zeros(shape) }
    if let refusal = refusal("Tensor", toMake: shape, rows: 1) { return refusal }
    guard let result = Tensor(undefined: shape) else { return .outOfMemory }
    result.write { numbers in
      for row in 0..<size {
        for column in 0..<size { numbers[row * size + column] = isOne(row, column) ? 1 : 0 }
      }
    }
    return result
  }

  /// The size of the square matrices along the last two axes; nil if there are no such axes or their sizes
  /// differ.
  fileprivate var matrixSize: Int? {
    guard shape.rank >= 2, shape[shape.rank - 1] == shape[shape.rank - 2] else { return nil }
    return shape[shape.rank - 1]
  }

  /// A copy of shape `newShape` without a gradient. If `other` is batched, the copy has its rows.
  fileprivate func stretched(to newShape: Shape, like other: Tensor) -> Tensor {
    if stride == other.stride { return stretched(to: newShape) }
    guard let result = Tensor(undefined: newShape, like: other) else { return .outOfMemory }
    let elements = stretched(to: newShape)
    if elements.isPoisoned { return elements }
    coix_op_copy(
      elements.pointer, 1, 0, result.pointer, other.stride, newShape.elementCount, other.stride
    ).run()
    return result
  }
}
