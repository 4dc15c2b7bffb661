import CoixKernels

extension Tensor {
  /// The bounds at which a uniform number in [0, 1) passes from one category to the next, `[..., K - 1]`, for
  /// probabilities `[..., K]`, K > 0. They are the running sums of the probabilities divided by the last sum,
  /// which is then left out. The category of a uniform number is the number of bounds below it.
  ///
  /// The sums are NumPyro's, bit for bit, with one exception: bounds never decrease, and a category of
  /// probability zero has no room between its bounds, so that neither rounding nor a uniform number of
  /// exactly 0 can draw it. The bounds have no gradient.
  package func categoryBounds() -> Tensor {
    if let refusal = refusal("categoryBounds") { return refusal }
    guard let count = shape.last, count > 0 else {
      return Self.mismatch("categoryBounds", [shape], "needs an axis of categories")
    }
    let sums = detached.cumulativeSum(axis: -1)
    guard let result = Tensor(undefined: shape.replacing(shape.rank - 1, with: count - 1), like: self) else {
      return .outOfMemory
    }
    coix_op_category_bounds(
      pointer, sums.pointer, result.pointer, shape.product(0..<shape.rank - 1), count, rowCount
    ).run()
    return result
  }

  /// The categories of uniform numbers, with this tensor as bounds, `[..., K - 1]`. The bounds' shape without
  /// its last axis broadcasts with that of the uniform numbers.
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
    // The kernel reads the bounds with the axis of categories first.
    let layers = permuted([shape.rank - 1] + Array(0..<shape.rank - 1))
    let layer = layers.viewed(as: Shape(shape.dropLast()))
    let plan = BroadcastPlan([layer, uniform], shape: result, stride: output.stride)
    plan.walk { place, at in
      coix_op_categories(
        layers.pointer + at[0], layer.shape.elementCount * layer.rowCount, count, plan.outer.strides[0],
        plan.inner.strides[0], uniform.pointer + at[1], plan.outer.strides[1], plan.inner.strides[1],
        output.pointer + place, plan.outer.size, plan.inner.size
      ).run()
    }
    return output
  }
}
