import CoixKernels

/// The matrix product; each operand is uniform or has one value per particle.
///
/// ```
/// [m, k] x [k, n] -> [m, n]     [k] x [k, n] -> [n]     [m, k] x [k] -> [m]     [k] x [k] -> []
/// ```
///
/// Poisoned for other ranks, or if the inner sizes differ. A uniform operand's gradient is summed over the
/// particles. The error of a sum of products, here and in the gradient, is at most 512 · 2⁻²⁴ times the sum
/// of the products' magnitudes, however many there are.
public func matmul(_ a: Tensor, _ b: Tensor) -> Tensor {
  Tensor.product("matmul", a, b)
}

/// The inner product of two vectors of equal size: a single number.
///
/// Poisoned for other ranks, or if the sizes differ.
public func dot(_ a: Tensor, _ b: Tensor) -> Tensor {
  if let refusal = a.refusal("dot") ?? b.refusal("dot") { return refusal }
  guard a.shape.rank == 1, b.shape.rank == 1 else {
    return Tensor.mismatch("dot", [a.shape, b.shape], "the operands must be vectors")
  }
  return Tensor.product("dot", a, b)
}

/// The sizes of a matrix product: `[m, k] x [k, n]`, where a vector's missing size is 1.
private struct ProductSizes {
  let m: Int
  let k: Int
  let n: Int
}

extension Tensor {
  fileprivate static func product(_ name: String, _ a: Tensor, _ b: Tensor) -> Tensor {
    if let refusal = a.refusal(name) ?? b.refusal(name) { return refusal }
    if differInRows(a, b) { return product(name, a.inAllRows, b.inAllRows) }
    guard 1...2 ~= a.shape.rank, 1...2 ~= b.shape.rank else {
      return mismatch(name, [a.shape, b.shape], "the operands must be matrices or vectors")
    }
    guard a.shape[a.shape.rank - 1] == b.shape[0] else {
      return mismatch(name, [a.shape, b.shape], "the inner sizes differ")
    }
    let sizes = ProductSizes(
      m: a.shape.rank == 2 ? a.shape[0] : 1, k: b.shape[0], n: b.shape.rank == 2 ? b.shape[1] : 1)
    let shape = Shape(a.shape.dropLast() + b.shape.dropFirst())
    if let refusal = refusal(name, toMake: shape, like: a.isBatched ? a : b) { return refusal }
    if sizes.m == 0 || sizes.k == 0 || sizes.n == 0 {
      // All sums are empty, whatever the operands: the result is a constant.
      guard let result = Tensor(undefined: shape, like: a.isBatched ? a : b) else { return .outOfMemory }
      coix_op_fill(result.pointer, 0, result.bufferCount, 1).run()
      return result
    }
    if a.isBatched && b.isBatched { return productOfRows(a, b, sizes, shape) }
    return a.isBatched ? productWithLayer(a, b, sizes, shape) : productOfMatrix(a, b, sizes, shape)
  }

  /// One product a row.
  private static func productOfRows(_ a: Tensor, _ b: Tensor, _ sizes: ProductSizes, _ shape: Shape) -> Tensor
  {
    let (m, k, n) = (sizes.m, sizes.k, sizes.n)
    guard let result = Tensor(undefined: shape, like: a) else { return .outOfMemory }
    coix_op_batched_matmul(a.pointer, b.pointer, result.pointer, m, k, n, a.stride).run()
    return result.recordedProduct(a, b, sizes) { gradient, wantsA, wantsB in
      let gradients = gradient.viewed(as: [m, n])
      let da =
        wantsA
        ? slope(of: a, by: b.viewed(as: [k, n]), counting: gradients, alongAxis: 0) {
          coix_op_batched_matmul(gradient.pointer, $0, $1, m, n, k, a.stride).run()
        } : nil
      let db =
        wantsB
        ? slope(of: b, by: a.viewed(as: [m, k]), counting: gradients, alongAxis: 1) {
          coix_op_batched_matmul($0, gradient.pointer, $1, k, m, n, b.stride).run()
        } : nil
      return (da, db)
    }
  }

  /// The gradient of one operand of a product, which `fill` computes from the other operand, transposed. Where
  /// NaN or infinity comes out, it is computed once more with zeros in place of the columns (axis 0) or rows
  /// (axis 1) of that other operand whose gradients are all 0.
  private static func slope(
    of operand: Tensor, by other: Tensor, counting gradients: Tensor, alongAxis axis: Int,
    _ fill: (UnsafePointer<Float>, UnsafeMutablePointer<Float>) -> Void
  ) -> Tensor {
    func slope(_ matrix: Tensor) -> Tensor {
      let transposed = matrix.permuted([1, 0])
      if transposed.isPoisoned { return transposed }
      guard let result = Tensor(undefined: operand.shape, like: operand) else { return .outOfMemory }
      fill(transposed.pointer, result.pointer)
      return result
    }
    let result = slope(other)
    return result.hasNonfinite ? slope(other.zeroed(unless: gradients.anyNonzero(axis: axis))) : result
  }

  /// The product of batched vectors with one uniform matrix: a dense layer, once for each of the m vectors.
  private static func productWithLayer(_ a: Tensor, _ b: Tensor, _ sizes: ProductSizes, _ shape: Shape)
    -> Tensor
  {
    let (m, k, n, rows) = (sizes.m, sizes.k, sizes.n, a.stride)
    guard let result = Tensor(undefined: shape, like: a) else { return .outOfMemory }
    for i in 0..<m {
      coix_op_dense_forward(
        a.pointer + i * k * rows, b.pointer, nil, result.pointer + i * n * rows, k, n, rows, COIX_IDENTITY,
        ExecutionContext.team
      ).run()
    }
    return result.recordedProduct(a, b, sizes) { gradient, wantsA, wantsB in
      let da = wantsA ? Tensor(undefined: a.shape, like: a) : nil
      // The layer's gradient is a sum over the vectors, too.
      guard let scratch = Tensor(undefinedDoubles: wantsB ? k * n : 0) else { return (da, .outOfMemory) }
      if wantsB { coix_op_fill(scratch.pointer, 0, scratch.bufferCount, 1).run() }
      for i in 0..<m {
        let part = wantsB ? Tensor(undefined: b.shape) : nil
        LayerGradients(
          x: a.pointer + i * k * rows, kernel: b.pointer, y: result.pointer + i * n * rows,
          gradient: gradient.pointer + i * n * rows, dx: da.map { $0.pointer + i * k * rows },
          dkernel: part?.pointer, inputs: k, outputs: n, rows: rows, team: ExecutionContext.team
        ).fill()
        if let part {
          scratch.withDoubles { coix_op_accumulate_double($0, part.pointer, k * n).run() }
        }
      }
      let db = wantsB ? Tensor(undefined: b.shape) : nil
      if let db { scratch.withDoubles { coix_op_round($0, db.pointer, k * n).run() } }
      return (da, db)
    }
  }

  /// The product of one uniform matrix with `b`, batched or uniform: a dense layer whose kernel is the
  /// transposed matrix and whose rows are the columns of `b` in all of its rows.
  private static func productOfMatrix(_ a: Tensor, _ b: Tensor, _ sizes: ProductSizes, _ shape: Shape)
    -> Tensor
  {
    let (m, k, rows) = (sizes.m, sizes.k, sizes.n * b.rowCount)
    let kernel = a.viewed(as: [m, k]).permuted([1, 0])
    if kernel.isPoisoned { return kernel }
    guard let result = Tensor(undefined: shape, like: b) else { return .outOfMemory }
    coix_op_dense_forward(
      b.pointer, kernel.pointer, nil, result.pointer, k, m, rows, COIX_IDENTITY, ExecutionContext.team
    ).run()
    return result.recordedProduct(a, b, sizes) { gradient, wantsA, wantsB in
      let dKernel = wantsA ? Tensor(undefined: [k, m]) : nil
      let db = wantsB ? Tensor(undefined: b.shape, like: b) : nil
      LayerGradients(
        x: b.pointer, kernel: kernel.pointer, y: result.pointer, gradient: gradient.pointer, dx: db?.pointer,
        dkernel: dKernel?.pointer, inputs: k, outputs: m, rows: rows, team: ExecutionContext.team
      ).fill()
      return (dKernel?.permuted([1, 0]).viewed(as: a.shape), db)
    }
  }

  /// The product, recorded with a function that returns both operands' gradients, or only the one that is
  /// wanted.
  private func recordedProduct(
    _ a: Tensor, _ b: Tensor, _ sizes: ProductSizes,
    _ pullback: @escaping (_ gradient: Tensor, _ wantsA: Bool, _ wantsB: Bool) -> (Tensor?, Tensor?)
  ) -> Tensor {
    guard let tape = Tape.recording(a, b) else { return self }
    let (m, k, n) = (sizes.m, sizes.k, sizes.n)
    return tape.record(
      self,
      .several([tape.node(of: a), tape.node(of: b)]) { gradient, isWanted in
        let (da, db) = pullback(gradient, isWanted[0], isWanted[1])
        return [
          da?.differentiated {
            matmul(gradient.reshaped(to: [m, n]), b.reshaped(to: [k, n]).transposed()).reshaped(to: a.shape)
          },
          db?.differentiated {
            matmul(a.reshaped(to: [m, k]).transposed(), gradient.reshaped(to: [m, n])).reshaped(to: b.shape)
          },
        ]
      })
  }
}
