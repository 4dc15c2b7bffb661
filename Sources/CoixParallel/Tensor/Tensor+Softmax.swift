import CoixKernels

// Operations along an axis whose results keep that axis.

extension Tensor {
  /// exp(x) / sum(exp(x)) along an axis, without overflow.
  ///
  /// An element of -inf gets 0, and its gradient is 0. NaN if all elements are -inf, or one is +inf or NaN.
  /// Poisoned if there is no such axis. Negative axes count from the end.
  public func softmax(axis: Int) -> Tensor {
    if let refusal = refusal("softmax") { return refusal }
    guard let axis = shape.normalizedAxis(axis) else { return Self.noAxis("softmax", axis, shape) }
    let layout = layout(axis)
    guard let y = Tensor(undefined: shape, like: self) else { return .outOfMemory }
    coix_op_softmax(pointer, y.pointer, layout.outer, layout.count, layout.inner, 0, ExecutionContext.team)
      .run()
    let reducedShape = shape.removing(axis..<axis + 1, keeping: true)
    return y.recorded(
      from: self,
      withOutput: { y in
        { gradient in
          // y (g - sum(g y))
          let mean = gradient.seed(times: y).summed(layout, to: reducedShape)
          return gradient.subtracting(mean, layout).seed(times: y)
        }
      })
  }

  /// x - log(sum(exp(x))) along an axis, without overflow: the logarithm of ``softmax(axis:)``.
  ///
  /// -inf where the element is -inf. NaN if all elements are -inf, or one is +inf or NaN. Poisoned if there
  /// is no such axis. Negative axes count from the end.
  public func logSoftmax(axis: Int) -> Tensor {
    if let refusal = refusal("logSoftmax") { return refusal }
    guard let axis = shape.normalizedAxis(axis) else { return Self.noAxis("logSoftmax", axis, shape) }
    let layout = layout(axis)
    guard let y = Tensor(undefined: shape, like: self) else { return .outOfMemory }
    coix_op_softmax(pointer, y.pointer, layout.outer, layout.count, layout.inner, 1, ExecutionContext.team)
      .run()
    let reducedShape = shape.removing(axis..<axis + 1, keeping: true)
    return y.recorded(
      from: self,
      withOutput: { y in
        { gradient in
          // g - exp(y) sum(g)
          let sum = gradient.summed(layout, to: reducedShape)
          return gradient - sum.repeated(layout, to: y.shape).seed(times: exp(y))
        }
      })
  }

  /// Running sums along an axis: element k is the sum of elements 0 to k.
  ///
  /// The bits are those of `jnp.cumsum` on a CPU. The error of a sum of n elements is at most 17 ⌈log₁₆ n⌉
  /// 2⁻²⁴ times the sum of the elements' magnitudes. Poisoned if there is no such axis. Negative axes count
  /// from the end.
  public func cumulativeSum(axis: Int) -> Tensor {
    if let refusal = refusal("cumulativeSum") { return refusal }
    guard let axis = shape.normalizedAxis(axis) else { return Self.noAxis("cumulativeSum", axis, shape) }
    return cumulativeSum(layout(axis), isBackward: false)
  }

  /// Running sums from the first element on, or from the last one back.
  private func cumulativeSum(_ layout: AxisLayout, isBackward: Bool) -> Tensor {
    guard let y = Tensor(undefined: shape, like: self) else { return .outOfMemory }
    coix_op_cumsum(
      pointer, y.pointer, layout.outer, layout.count, layout.inner, isBackward ? 1 : 0
    ).run()
    // Element k is a term of sum k and of all sums after it; or before it, if the sums run back.
    return y.recorded(from: self) { $0.cumulativeSum(layout, isBackward: !isBackward) }
  }
}
