import CoixKernels

// The same elements under another shape. All of these act on event axes; rows stay where they are.

extension Tensor {
  /// The same elements, in the same (row-major) order, with other axes. Nothing is copied.
  ///
  /// Poisoned if the numbers of elements differ.
  public func reshaped(to newShape: Shape) -> Tensor {
    if let refusal = refusal("reshaped") { return refusal }
    guard newShape.isValid, newShape.elementCount == shape.elementCount else {
      return Self.mismatch("reshaped", [shape, newShape], "the numbers of elements differ")
    }
    return reshapedUnchecked(to: newShape)
  }

  /// All elements along one axis, in row-major order. Nothing is copied.
  public func flattened() -> Tensor {
    if let refusal = refusal("flattened") { return refusal }
    return reshapedUnchecked(to: [shape.elementCount])
  }

  /// The tensor with a further axis of size 1, which will be axis `axis` of the result; -1 puts it last.
  /// Nothing is copied.
  ///
  /// Poisoned if `axis` is out of range or there are too many axes.
  public func expandingAxis(at axis: Int) -> Tensor {
    if let refusal = refusal("expandingAxis") { return refusal }
    guard let axis = shape.normalizedInsertion(axis) else { return Self.noAxis("expandingAxis", axis, shape) }
    let newShape = shape.inserting(1, at: axis)
    guard newShape.isValid else {
      return Self.mismatch("expandingAxis", [shape], "more than \(Shape.maximumRank) axes")
    }
    return reshapedUnchecked(to: newShape)
  }

  /// The tensor without an axis of size 1. Nothing is copied.
  ///
  /// Poisoned if there is no such axis or its size is not 1. Negative axes count from the end.
  public func squeezingAxis(at axis: Int) -> Tensor {
    if let refusal = refusal("squeezingAxis") { return refusal }
    guard let axis = shape.normalizedAxis(axis) else { return Self.noAxis("squeezingAxis", axis, shape) }
    guard shape[axis] == 1 else {
      return Self.mismatch("squeezingAxis", [shape], "axis \(axis) has size \(shape[axis]), not 1")
    }
    return reshapedUnchecked(to: shape.removing(axis..<axis + 1, keeping: false))
  }

  private func reshapedUnchecked(to newShape: Shape) -> Tensor {
    if newShape == shape { return self }
    let shape = shape
    return viewed(as: newShape).recorded(from: self) { $0.reshapedUnchecked(to: shape) }.remembering(
      asReshaped: self)
  }

  // MARK: Stretching

  /// The tensor repeated along new outer axes and along axes of size 1, so that it has the given shape.
  ///
  /// Operators broadcast by themselves; this method is for when a full tensor is needed. The gradient is
  /// summed over the copies. Poisoned if the tensor's axes, aligned at the right, don't stretch to the shape.
  public func broadcast(to newShape: Shape) -> Tensor {
    if let refusal = refusal("broadcast") { return refusal }
    guard newShape.isValid, Shape.broadcast(shape, newShape) == newShape else {
      return Self.mismatch("broadcast", [shape, newShape], "the first shape doesn't stretch to the second")
    }
    if newShape == shape { return self }
    if let refusal = Self.refusal("broadcast", toMake: newShape, like: self) { return refusal }
    return stretched(to: newShape)
  }

  /// ``broadcast(to:)`` for a shape known to fit.
  func stretched(to newShape: Shape) -> Tensor {
    if newShape == shape { return self }
    guard let result = Tensor(undefined: newShape, like: self) else { return .outOfMemory }
    guard newShape.elementCount > 0 else { return result.recorded(from: self) { $0 } }
    let plan = BroadcastPlan([self], shape: newShape, stride: stride)
    let (outer, inner) = (plan.outer, plan.inner)
    plan.walk { output, at in
      coix_op_copy(
        pointer + at[0], outer.strides[0], inner.strides[0], result.pointer + output, inner.size, outer.size,
        inner.size
      ).run()
    }
    return result.recorded(from: self) { $0 }
  }

  // MARK: Transposing

  /// The tensor with its axes in reverse order: the transpose of a matrix.
  public func transposed() -> Tensor {
    transposed(permutation: Array((0..<shape.rank).reversed()))
  }

  /// The tensor with its axes in another order: axis k of the result is axis `permutation[k]` of the tensor.
  ///
  /// Poisoned if `permutation` doesn't name each axis once. Negative axes count from the end.
  public func transposed(permutation: [Int]) -> Tensor {
    if let refusal = refusal("transposed") { return refusal }
    let axes = permutation.compactMap(shape.normalizedAxis)
    guard permutation.count == shape.rank, axes.sorted() == Array(0..<shape.rank) else {
      return Self.mismatch("transposed", [shape], "\(permutation) doesn't name each axis once")
    }
    var inverse = axes
    for (position, axis) in axes.enumerated() { inverse[axis] = position }
    return transposed(axes, inverse: inverse)
  }

  private func transposed(_ axes: [Int], inverse: [Int]) -> Tensor {
    permuted(axes).recorded(from: self) { $0.transposed(inverse, inverse: axes) }
  }

  /// The kernel behind ``transposed(permutation:)``, without the gradient, for a legal permutation.
  func permuted(_ axes: [Int]) -> Tensor {
    let newShape = Shape(axes.map { shape[$0] })
    guard newShape.elementCount > 0 else { return viewed(as: newShape) }
    // The axes of the result, rows last, with their strides in the source; axes that stay neighbours are
    // merged.
    var walk: [(size: Int, stride: Int)] = []
    func append(_ size: Int, _ stride: Int) {
      if size == 1 { return }
      if let last = walk.last, last.stride == stride * size {
        walk[walk.count - 1] = (last.size * size, stride)
      } else {
        walk.append((size, stride))
      }
    }
    for axis in axes { append(shape[axis], shape.product(axis + 1..<shape.rank) * rowCount) }
    append(rowCount, 1)
    guard walk.count > 1 else { return viewed(as: newShape) }  // nothing moves

    guard let result = Tensor(undefined: newShape, like: self) else { return .outOfMemory }
    let inner = walk.removeLast()
    var to = result.pointer
    func copy(_ level: Int, _ from: UnsafeMutablePointer<Float>) {
      if level == walk.count - 1 && walk[level].stride == 1 && inner.stride == walk[level].size {
        // A whole matrix, row by row, becomes its transpose.
        let (rows, columns) = (walk[level].size, inner.size)
        coix_op_transpose(from, to, rows, columns).run()
        to += rows * columns
      } else if level < walk.count - 1 {
        for k in 0..<walk[level].size { copy(level + 1, from + k * walk[level].stride) }
      } else {
        let outer = walk[level]
        coix_op_copy(from, outer.stride, inner.stride, to, inner.size, outer.size, inner.size).run()
        to += outer.size * inner.size
      }
    }
    copy(0, pointer)
    return result
  }
}

extension Shape {
  /// The position of a further axis, counted from the front, where -1 means last; nil if it is out of range.
  func normalizedInsertion(_ axis: Int) -> Int? {
    let normalized = axis < 0 ? axis + rank + 1 : axis
    return normalized >= 0 && normalized <= rank ? normalized : nil
  }
}
