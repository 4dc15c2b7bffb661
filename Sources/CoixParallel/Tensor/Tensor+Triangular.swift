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
  let batched = factor.isBatched ? factor : b
  if let refusal = Tensor.refusal(name, toMake: vectors, like: batched) { return refusal }
  // A single matrix serves for all vectors. Several matrices are copied, so that there is one for each
  // vector.
  let isShared = factor.shape.rank == 2
  if !isShared, let refusal = Tensor.refusal(name, toMake: matrices, like: factor) { return refusal }
  let plain = isShared ? factor.detached : factor.stretched(to: matrices)
  let step = isShared ? 0 : size * size * plain.rowCount

  func solved(_ right: Tensor, transposed: Bool) -> Tensor {
    guard let result = Tensor(undefined: vectors, like: batched) else { return .outOfMemory }
    // The right-hand side in full: a value for each vector, and for each row if the matrices differ by row.
    let full = right.stretched(to: vectors, like: batched)
    if full.isPoisoned || plain.isPoisoned { return full.isPoisoned ? full : plain }
    coix_op_solve_triangular(
      plain.pointer, step, plain.isBatched ? 1 : 0, full.pointer, result.pointer, batch.elementCount, size,
      batched.rowCount, transposed ? 1 : 0).run()
    return result
  }
  let x = solved(b, transposed: false)
  guard let tape = Tape.recording(factor, b) else { return x }
  let (factorNode, bNode) = (tape.node(of: factor), tape.node(of: b))
  return tape.record(
    x,
    .many { gradient, tape in
      // With Lᵀ y = gradient, the gradient of b is y, and that of L is -y xᵀ on and below the diagonal.
      var y = solved(gradient, transposed: true)
      if y.hasNonfinite { y = y.zeroed(unless: gradient.anyNonzero(axis: -1)) }
      tape.add(y, to: bNode)
      guard factorNode >= 0 else { return }
      let products = y.expandingAxis(at: -1).seed(times: x.expandingAxis(at: -2))
      tape.add(select(.lowerTriangle(size), -products, 0), to: factorNode)
    })
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
  return factor.recorded(from: matrix) { gradient in
    guard let result = Tensor(undefined: gradient.shape, like: gradient) else { return .outOfMemory }
    coix_op_copy(
      gradient.pointer, 0, 1, result.pointer, 0, 1, gradient.shape.elementCount * gradient.rowCount
    ).run()
    coix_op_cholesky_backward(factor.pointer, result.pointer, count, size, gradient.rowCount).run()
    guard result.hasNonfinite else { return result }
    return result.zeroed(unless: gradient.anyNonzero(axis: -1).anyNonzero(axis: -2))
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
    let result = zeros([size, size])
    guard !result.isPoisoned else { return result }
    result.write { numbers in
      for row in 0..<size {
        for column in 0..<size where isOne(row, column) { numbers[row * size + column] = 1 }
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
