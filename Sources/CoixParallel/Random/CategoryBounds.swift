import CoixKernels

extension Tensor {
  /// Where a uniform number in [0, 1) passes from one category to the next: the running sums of probabilities
  /// `[..., K]`, K > 0, without the last and divided by it, `[..., K - 1]`. The number of bounds below the
  /// uniform number is its category.
  ///
  /// The sums are those of NumPyro, bit for bit, but that bounds never fall and leave no room for a category
  /// of probability zero: neither rounding nor a uniform number of exactly 0 can make it come up. Without a
  /// gradient.
  package func categoryBounds() -> Tensor {
    if let refusal = refusal("categoryBounds") { return refusal }
    guard let count = shape.last, count > 0 else {
      return Self.mismatch("categoryBounds", [shape], "needs an axis of categories")
    }
    let sums = detached.cumulativeSum(axis: -1)
    guard let result = Tensor(undefined: shape.replacing(shape.rank - 1, with: count - 1), like: self) else {
      return .outOfMemory
    }
    coix_category_bounds(
      pointer, sums.pointer, result.pointer, shape.product(0..<shape.rank - 1), count, rowCount)
    return result
  }

  /// The categories of uniform numbers by these bounds, `[..., K - 1]`: shapes broadcast but for the bounds'
  /// last axis.
  package func categories(of uniform: Tensor) -> Tensor {
    if let refusal = refusal("categories") ?? uniform.refusal("categories") { return refusal }
    if Tensor.differInRows(self, uniform) { return inAllRows.categories(of: uniform.inAllRows) }
    guard let count = shape.last, let result = Shape.broadcast(Shape(shape.dropLast()), uniform.shape) else {
      return Self.mismatch("categories", [shape, uniform.shape], "the shapes don't broadcast")
    }
    let batched = isBatched ? self : uniform
    if let refusal = Self.refusal("categories", toMake: result, like: batched) { return refusal }
    guard let output = Tensor(undefined: result, like: batched) else { return .outOfMemory }
    guard result.elementCount > 0 else { return output }
    // One category's bounds after the other's.
    let layers = permuted([shape.rank - 1] + Array(0..<shape.rank - 1))
    let layer = layers.viewed(as: Shape(shape.dropLast()))
    let plan = BroadcastPlan([layer, uniform], shape: result, stride: output.stride)
    plan.walk { place, at in
      coix_categories(
        layers.pointer + at[0], layer.shape.elementCount * layer.rowCount, count, plan.outer.strides[0],
        plan.inner.strides[0], uniform.pointer + at[1], plan.outer.strides[1], plan.inner.strides[1],
        output.pointer + place, plan.outer.size, plan.inner.size)
    }
    return output
  }
}
