import CoixKernels

// Operations along an axis that keep it.

extension Tensor {
  /// exp(x) / sum(exp(x)) along an axis, without overflow.
  ///
  /// An element of -inf gets 0, as does its gradient; NaN where all are -inf, one is +inf or one is NaN.
  /// Poisoned if there is no such axis. Negative axes count from the end.
  public func softmax(axis: Int) -> Tensor {
    if let refusal = refusal("softmax") { return refusal }
    guard let axis = shape.normalizedAxis(axis) else { return Self.noAxis("softmax", axis, shape) }
    let layout = layout(axis)
    guard let y = Tensor(undefined: shape, like: self) else { return .outOfMemory }
    coix_softmax(pointer, y.pointer, layout.outer, layout.count, layout.inner, 0, Int32(team))
    return y.recorded(from: self) { gradient in
      // y (g - sum(g y))
      let reducedShape = y.shape.removing(axis..<axis + 1, keeping: true)
      let mean = (gradient * y).reduced(COIX_SUM, layout, to: reducedShape)
      return y * gradient.combined(COIX_SUBTRACT, with: mean, layout)
    }
  }

  /// x - log(sum(exp(x))) along an axis, without overflow: the logarithm of ``softmax(axis:)``.
  ///
  /// -inf where the element is -inf; NaN where all are, one is +inf or one is NaN. Poisoned if there is no
  /// such axis. Negative axes count from the end.
  public func logSoftmax(axis: Int) -> Tensor {
    if let refusal = refusal("logSoftmax") { return refusal }
    guard let axis = shape.normalizedAxis(axis) else { return Self.noAxis("logSoftmax", axis, shape) }
    let layout = layout(axis)
    guard let y = Tensor(undefined: shape, like: self) else { return .outOfMemory }
    coix_softmax(pointer, y.pointer, layout.outer, layout.count, layout.inner, 1, Int32(team))
    return y.recorded(from: self) { gradient in
      // g - exp(y) sum(g)
      let reducedShape = y.shape.removing(axis..<axis + 1, keeping: true)
      let sum = gradient.reduced(COIX_SUM, layout, to: reducedShape)
      return gradient - exp(y).combined(COIX_MULTIPLY, with: sum, layout)
    }
  }

  /// Running sums along an axis: element k is the sum of elements 0 to k.
  ///
  /// Poisoned if there is no such axis. Negative axes count from the end.
  public func cumulativeSum(axis: Int) -> Tensor {
    if let refusal = refusal("cumulativeSum") { return refusal }
    guard let axis = shape.normalizedAxis(axis) else { return Self.noAxis("cumulativeSum", axis, shape) }
    let layout = layout(axis)
    guard let y = Tensor(undefined: shape, like: self) else { return .outOfMemory }
    coix_cumsum(pointer, y.pointer, layout.outer, layout.count, layout.inner)
    return y.recorded(from: self) { $0.sumOfRest(layout) }
  }

  /// Running sums from the end: element k is the sum of elements k to the last; no gradient.
  private func sumOfRest(_ layout: AxisLayout) -> Tensor {
    guard let result = Tensor(undefined: shape, like: self) else { return .outOfMemory }
    result.pointer.update(from: pointer, count: shape.elementCount * rowCount)
    for outer in 0..<layout.outer where layout.count > 1 {
      for k in (0..<layout.count - 1).reversed() {
        let element = result.pointer + (outer * layout.count + k) * layout.inner
        coix_accumulate(element, element + layout.inner, layout.inner, 1)
      }
    }
    return result
  }
}
