import CoixKernels

// Reductions over event axes. Rows are never reduced over: every particle keeps its own result. Negative axes
// count from the end; with `keepingAxes` the reduced axes stay, with size 1. An axis that doesn't exist gives
// a poisoned tensor.

extension Tensor {
  // MARK: Sum and mean

  /// The sum of all elements: a single number.
  public func sum(keepingAxes: Bool = false) -> Tensor {
    reduction(COIX_SUM, "sum", axis: nil, keepingAxes)
  }

  /// The sum along an axis; 0 where the axis is empty.
  public func sum(axis: Int, keepingAxes: Bool = false) -> Tensor {
    reduction(COIX_SUM, "sum", axis: axis, keepingAxes)
  }

  /// The sum along several axes; the tensor itself for none.
  ///
  /// Poisoned if an axis doesn't exist or is named twice.
  public func sum(axes: [Int], keepingAxes: Bool = false) -> Tensor {
    sum(axes, keepingAxes, named: "sum")
  }

  /// The mean of all elements: a single number; NaN if there are none.
  public func mean(keepingAxes: Bool = false) -> Tensor {
    reduction(COIX_SUM, "mean", axis: nil, keepingAxes) / Float(shape.elementCount)
  }

  /// The mean along an axis; NaN where the axis is empty.
  public func mean(axis: Int, keepingAxes: Bool = false) -> Tensor {
    let sum = reduction(COIX_SUM, "mean", axis: axis, keepingAxes)
    return sum / Float(shape.normalizedAxis(axis).map { shape[$0] } ?? 1)
  }

  /// The mean along several axes; the tensor itself for none.
  ///
  /// Poisoned if an axis doesn't exist or is named twice.
  public func mean(axes: [Int], keepingAxes: Bool = false) -> Tensor {
    let sum = sum(axes, keepingAxes, named: "mean")
    if sum.isPoisoned { return sum }
    return sum / Float(axes.compactMap(shape.normalizedAxis).reduce(1) { $0 * shape[$1] })
  }

  // MARK: Extremes

  /// The largest element; NaN if one is NaN.
  ///
  /// The gradient is shared equally among ties (as in JAX). Poisoned if there are no elements.
  public func max(keepingAxes: Bool = false) -> Tensor {
    reduction(COIX_MAX, "max", axis: nil, keepingAxes)
  }

  /// The largest element along an axis; NaN if one is NaN.
  ///
  /// The gradient is shared equally among ties (as in JAX). Poisoned if the axis is empty.
  public func max(axis: Int, keepingAxes: Bool = false) -> Tensor {
    reduction(COIX_MAX, "max", axis: axis, keepingAxes)
  }

  /// The smallest element; NaN if one is NaN.
  ///
  /// The gradient is shared equally among ties (as in JAX). Poisoned if there are no elements.
  public func min(keepingAxes: Bool = false) -> Tensor {
    reduction(COIX_MIN, "min", axis: nil, keepingAxes)
  }

  /// The smallest element along an axis; NaN if one is NaN.
  ///
  /// The gradient is shared equally among ties (as in JAX). Poisoned if the axis is empty.
  public func min(axis: Int, keepingAxes: Bool = false) -> Tensor {
    reduction(COIX_MIN, "min", axis: axis, keepingAxes)
  }

  /// The position of the first largest element along an axis, as a whole number; without a gradient.
  ///
  /// NaN counts as largest. Poisoned if the axis is empty.
  public func argmax(axis: Int, keepingAxes: Bool = false) -> Tensor {
    if let refusal = refusal("argmax") { return refusal }
    guard let axis = shape.normalizedAxis(axis) else { return Self.noAxis("argmax", axis, shape) }
    guard shape[axis] > 0 else {
      return Self.mismatch("argmax", [shape], "an axis without elements has no largest one")
    }
    guard let result = Tensor(undefined: shape.removing(axis..<axis + 1, keeping: keepingAxes), like: self)
    else { return .outOfMemory }
    let layout = layout(axis)
    coix_op_argmax(pointer, result.pointer, layout.outer, layout.count, layout.inner).run()
    return result
  }

  // MARK: Log-sum-exp

  /// log(sum(exp(x))) of all elements, without overflow.
  ///
  /// -inf if all elements are -inf (or if there are none), +inf if one is +inf, NaN if one is NaN. The
  /// gradient is the softmax: 0 at elements that are -inf, also if all are; NaN at +inf.
  public func logSumExp(keepingAxes: Bool = false) -> Tensor {
    reduction(COIX_LOGSUMEXP, "logSumExp", axis: nil, keepingAxes)
  }

  /// log(sum(exp(x))) along an axis, without overflow: see ``logSumExp(keepingAxes:)``.
  public func logSumExp(axis: Int, keepingAxes: Bool = false) -> Tensor {
    reduction(COIX_LOGSUMEXP, "logSumExp", axis: axis, keepingAxes)
  }

  // MARK: Implementation

  /// A reduction along one axis, or over all for nil, with its gradient.
  private func reduction(_ operation: coix_reduction, _ name: String, axis: Int?, _ keepingAxes: Bool)
    -> Tensor
  {
    if let refusal = refusal(name) { return refusal }
    var axes = 0..<shape.rank
    if let axis {
      guard let normalized = shape.normalizedAxis(axis) else { return Self.noAxis(name, axis, shape) }
      axes = normalized..<normalized + 1
    }
    let x = self
    let layout = layout(axes)
    if layout.count == 0 && (operation == COIX_MAX || operation == COIX_MIN) {
      return Self.mismatch(name, [shape], "there are no elements to choose from")
    }
    let kept = shape.removing(axes, keeping: true)
    if let refusal = emptyReductionRefusal(name, layout, toMake: kept) { return refusal }
    let y = reduced(operation, layout, to: keepingAxes ? kept : shape.removing(axes, keeping: false))
    switch operation {
    case COIX_SUM:
      let shape = shape
      return y.recorded(from: self) { $0.repeated(layout, to: shape) }
    case COIX_LOGSUMEXP:
      return y.recorded(from: self, withOutput: { y in { x.slopeOfLogSumExp(y, layout, $0) } })
    default:
      return y.recorded(from: self) { gradient in
        let winners = x.combined(COIX_EQUAL, with: y, layout)
        let losers = x.combined(operation == COIX_MAX ? COIX_LESS : COIX_GREATER, with: y, layout)
        let share = gradient.seed(over: winners.reduced(COIX_SUM, layout, to: y.shape))
        return select(losers, 0, share.repeated(layout, to: x.shape))
      }
    }
  }

  /// The gradient of log-sum-exp along some axes, given the result and its gradient.
  private func slopeOfLogSumExp(_ y: Tensor, _ layout: AxisLayout, _ gradient: Tensor) -> Tensor {
    // The kernel uses the softmax itself rather than exp(x - y), whose relative error would be the rounding error of y. Where
    // all elements are -inf, it is 0, not NaN.
    guard let slope = Tensor(undefined: shape, like: self) else { return .outOfMemory }
    // A gradient that all rows share is first spread over them.
    let isSpread = gradient.stride == stride
    let seed = isSpread ? gradient.detached : select(1, gradient.detached, y.detached)
    coix_op_logsumexp_backward(
      pointer, seed.pointer, slope.pointer, layout.outer, layout.count, layout.inner, ExecutionContext.team
    ).run()
    return slope.differentiated {
      let softmax = exp(subtracting(y, layout))
      return gradient.repeated(layout, to: shape).seed(times: select(self .== -.infinity, 0, softmax))
    }
  }

  /// The poisoned result of a reduction of empty axes, if the result would not fit into memory; else nil.
  /// Only a reduction of empty axes has a result that is larger than its operand.
  private func emptyReductionRefusal(_ name: String, _ layout: AxisLayout, toMake shape: Shape) -> Tensor? {
    layout.count == 0 ? Self.refusal(name, toMake: shape, like: self) : nil
  }

  /// A reduction of neighbouring axes to a given shape, without its gradient.
  func reduced(_ operation: coix_reduction, _ layout: AxisLayout, to shape: Shape) -> Tensor {
    // A single element is its own sum, maximum and log-sum-exp.
    if layout.count == 1 { return viewed(as: shape) }
    guard let result = Tensor(undefined: shape, like: self) else { return .outOfMemory }
    coix_op_reduce(
      operation, pointer, result.pointer, layout.outer, layout.count, layout.inner, ExecutionContext.team
    )
    .run()
    return result
  }

  /// The sum along neighbouring axes, with its gradient.
  func summed(_ layout: AxisLayout, to shape: Shape) -> Tensor {
    let own = self.shape
    return reduced(COIX_SUM, layout, to: shape).recorded(from: self) { $0.repeated(layout, to: own) }
  }

  /// The opposite of ``summed(_:to:)``: copies along the axes that were reduced, with their gradient.
  func repeated(_ layout: AxisLayout, to shape: Shape) -> Tensor {
    let own = self.shape
    return copies(layout, to: shape).recorded(from: self) { $0.summed(layout, to: own) }
  }

  private func copies(_ layout: AxisLayout, to shape: Shape) -> Tensor {
    guard let result = Tensor(undefined: shape, like: self) else { return .outOfMemory }
    if layout.inner == 1 {
      coix_op_copy(pointer, 1, 0, result.pointer, layout.count, layout.outer, layout.count).run()
    } else {
      let block = layout.count * layout.inner
      for outer in 0..<layout.outer {
        coix_op_copy(
          pointer + outer * layout.inner, 0, 1, result.pointer + outer * block, layout.inner, layout.count,
          layout.inner
        ).run()
      }
    }
    return result
  }

  /// The sum along several axes, with its gradient: one kernel call for each run of neighbours.
  private func sum(_ axes: [Int], _ keepingAxes: Bool, named name: String) -> Tensor {
    if let refusal = refusal(name) { return refusal }
    let sorted = axes.compactMap(shape.normalizedAxis).sorted()
    guard sorted.count == axes.count, zip(sorted, sorted.dropFirst()).allSatisfy(<) else {
      return Self.mismatch(name, [shape], "\(axes) are not different axes of the tensor")
    }
    var runs: [Range<Int>] = []
    for axis in sorted {
      if let last = runs.last, last.upperBound == axis {
        runs[runs.count - 1] = last.lowerBound..<axis + 1
      } else {
        runs.append(axis..<axis + 1)
      }
    }
    var result = detached
    for run in runs.reversed() {
      let kept = result.shape.removing(run, keeping: true)
      let layout = result.layout(run)
      if let refusal = emptyReductionRefusal(name, layout, toMake: kept) { return refusal }
      result = result.reduced(COIX_SUM, layout, to: kept)
    }
    let kept = result.shape
    if !keepingAxes {
      var dropped = Shape.scalar
      for axis in shape.indices where !sorted.contains(axis) { dropped.append(shape[axis]) }
      result = result.viewed(as: dropped)
    }
    let shape = shape
    return result.recorded(from: self) { $0.reshaped(to: kept).stretched(to: shape) }
  }
}

extension Tensor {
  /// Whether any element, of any row, is not 0.
  package var hasNonzero: Bool {
    !isPoisoned && !coix_op_is_zero(pointer, shape.elementCount * rowCount).holds()
  }
}
