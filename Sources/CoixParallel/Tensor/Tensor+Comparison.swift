import CoixKernels

// Comparisons, and the functions built on them: `select`, `maximum`, `minimum` and `clamped`.
//
// The overloads with a `Float` are disfavoured, so that a literal counts as a tensor instead of being
// ambiguous.

extension Tensor {
  /// 1 where `a` is less than `b`, else 0; event shapes broadcast, without a gradient. NaN compares as 0.
  public static func .< (a: Tensor, b: Tensor) -> Tensor { binary(COIX_LESS, a, b, ".<") }
  /// 1 where `a` is at most `b`, else 0; event shapes broadcast, without a gradient. NaN compares as 0.
  public static func .<= (a: Tensor, b: Tensor) -> Tensor { binary(COIX_LESS_EQUAL, a, b, ".<=") }
  /// 1 where `a` is greater than `b`, else 0; event shapes broadcast, without a gradient. NaN compares as 0.
  public static func .> (a: Tensor, b: Tensor) -> Tensor { binary(COIX_GREATER, a, b, ".>") }
  /// 1 where `a` is at least `b`, else 0; event shapes broadcast, without a gradient. NaN compares as 0.
  public static func .>= (a: Tensor, b: Tensor) -> Tensor { binary(COIX_GREATER_EQUAL, a, b, ".>=") }
  /// 1 where `a` equals `b`, else 0; event shapes broadcast, without a gradient. NaN equals nothing.
  public static func .== (a: Tensor, b: Tensor) -> Tensor { binary(COIX_EQUAL, a, b, ".==") }
  /// 1 where `a` differs from `b`, else 0; event shapes broadcast, without a gradient. NaN differs from
  /// everything.
  public static func .!= (a: Tensor, b: Tensor) -> Tensor { binary(COIX_NOT_EQUAL, a, b, ".!=") }

  /// 1 where `a` is less than the number, else 0.
  @_disfavoredOverload
  public static func .< (a: Tensor, b: Float) -> Tensor { a .< Tensor(b) }
  /// 1 where `a` is at most the number, else 0.
  @_disfavoredOverload
  public static func .<= (a: Tensor, b: Float) -> Tensor { a .<= Tensor(b) }
  /// 1 where `a` is greater than the number, else 0.
  @_disfavoredOverload
  public static func .> (a: Tensor, b: Float) -> Tensor { a .> Tensor(b) }
  /// 1 where `a` is at least the number, else 0.
  @_disfavoredOverload
  public static func .>= (a: Tensor, b: Float) -> Tensor { a .>= Tensor(b) }
  /// 1 where `a` equals the number, else 0.
  @_disfavoredOverload
  public static func .== (a: Tensor, b: Float) -> Tensor { a .== Tensor(b) }
  /// 1 where `a` differs from the number, else 0.
  @_disfavoredOverload
  public static func .!= (a: Tensor, b: Float) -> Tensor { a .!= Tensor(b) }

  /// Unavailable: the result would not be a condition that Swift can branch on. Use `.<`.
  @available(
    *, unavailable,
    message:
      "a tensor has no single truth: compare with .<, which gives 1 or 0 for each element, and choose with select(condition, a, b)"
  )
  @_disfavoredOverload
  public static func < (a: Tensor, b: Tensor) -> Bool { false }
  /// Unavailable: the result would not be a condition that Swift can branch on. Use `.<=`.
  @available(
    *, unavailable,
    message:
      "a tensor has no single truth: compare with .<=, which gives 1 or 0 for each element, and choose with select(condition, a, b)"
  )
  @_disfavoredOverload
  public static func <= (a: Tensor, b: Tensor) -> Bool { false }
  /// Unavailable: the result would not be a condition that Swift can branch on. Use `.>`.
  @available(
    *, unavailable,
    message:
      "a tensor has no single truth: compare with .>, which gives 1 or 0 for each element, and choose with select(condition, a, b)"
  )
  @_disfavoredOverload
  public static func > (a: Tensor, b: Tensor) -> Bool { false }
  /// Unavailable: the result would not be a condition that Swift can branch on. Use `.>=`.
  @available(
    *, unavailable,
    message:
      "a tensor has no single truth: compare with .>=, which gives 1 or 0 for each element, and choose with select(condition, a, b)"
  )
  @_disfavoredOverload
  public static func >= (a: Tensor, b: Tensor) -> Bool { false }
  /// Unavailable: the result would not be a condition that Swift can branch on. Use `.==`.
  @available(
    *, unavailable,
    message:
      "a tensor has no single truth: compare with .==, which gives 1 or 0 for each element, and choose with select(condition, a, b)"
  )
  @_disfavoredOverload
  public static func == (a: Tensor, b: Tensor) -> Bool { false }
  /// Unavailable: the result would not be a condition that Swift can branch on. Use `.!=`.
  @available(
    *, unavailable,
    message:
      "a tensor has no single truth: compare with .!=, which gives 1 or 0 for each element, and choose with select(condition, a, b)"
  )
  @_disfavoredOverload
  public static func != (a: Tensor, b: Tensor) -> Bool { false }

  /// The kernel behind ``select(_:_:_:)``, without its gradient.
  static func selected(_ condition: Tensor, _ a: Tensor, _ b: Tensor) -> Tensor {
    if let refusal = condition.refusal("select") ?? a.refusal("select") ?? b.refusal("select") {
      return refusal
    }
    guard let values = Shape.broadcast(a.shape, b.shape), let shape = Shape.broadcast(condition.shape, values)
    else {
      return mismatch("select", [condition.shape, a.shape, b.shape], "the shapes don't broadcast")
    }
    let operands = [condition, a, b]
    let batched = operands.first(where: \.isBatched) ?? condition
    if let refusal = refusal("select", toMake: shape, like: batched) { return refusal }
    guard let result = Tensor(undefined: shape, like: batched) else { return .outOfMemory }
    if shape.elementCount == 0 { return result }
    if operands.allSatisfy({ $0.shape == shape || $0.shape.elementCount == 1 }) {
      // Each operand has the whole shape, or one number (or one number a row): a single kernel call.
      let (outer, rows) = batched.isBatched ? (shape.elementCount, result.stride) : (1, shape.elementCount)
      func strides(_ operand: Tensor) -> (outer: Int, row: Int) {
        let isWhole = operand.shape.elementCount == shape.elementCount
        return batched.isBatched
          ? (isWhole ? operand.rowCount : 0, operand.isBatched ? 1 : 0) : (0, isWhole ? 1 : 0)
      }
      let (c, x, y) = (strides(condition), strides(a), strides(b))
      coix_op_select(
        condition.pointer, c.outer, c.row, a.pointer, x.outer, x.row, b.pointer, y.outer, y.row,
        result.pointer, outer, rows, ExecutionContext.team
      ).run()
      return result
    }
    let plan = BroadcastPlan(operands, shape: shape, stride: result.stride)
    let (outer, inner) = (plan.outer, plan.inner)
    plan.walk { output, at in
      coix_op_select(
        condition.pointer + at[0], outer.strides[0], inner.strides[0],
        a.pointer + at[1], outer.strides[1], inner.strides[1],
        b.pointer + at[2], outer.strides[2], inner.strides[2],
        result.pointer + output, outer.size, inner.size, 1
      ).run()
    }
    return result
  }
}

/// `a` where the condition is not 0, `b` elsewhere: `condition ? a : b` for each element.
///
/// Event shapes broadcast; shapes that don't broadcast give a poisoned tensor. The gradient flows to the
/// chosen side only. The other side gets exact zeros there, also where its value is NaN or infinite, and
/// elementwise functions pass a zero gradient back as zero even if their derivative is infinite or NaN. So
/// the gradient of `select(x .> 0, log(x), 0)` at 0 is 0.
public func select(_ condition: Tensor, _ a: Tensor, _ b: Tensor) -> Tensor {
  if Tensor.differInRows(condition, a, b) {
    return select(condition.inAllRows, a.inAllRows, b.inAllRows)
  }
  return Tensor.selected(condition, a, b).recorded(
    from: a, b, { select(condition, $0, 0) }, { select(condition, 0, $0) })
}

/// Unavailable: Swift's `max` chooses one of two values. Use `maximum(_:_:)`, which chooses for each element.
@available(*, unavailable, message: "write maximum(a, b), which takes the greater of the two in each element")
@_disfavoredOverload
public func max(_ a: Tensor, _ b: Tensor) -> Tensor { a }
/// Unavailable: Swift's `min` chooses one of two values. Use `minimum(_:_:)`, which chooses for each element.
@available(*, unavailable, message: "write minimum(a, b), which takes the less of the two in each element")
@_disfavoredOverload
public func min(_ a: Tensor, _ b: Tensor) -> Tensor { a }

/// The larger of two, elementwise; event shapes broadcast. NaN where either is NaN.
///
/// The gradient flows to the larger one, half to each at a tie (as in JAX).
public func maximum(_ a: Tensor, _ b: Tensor) -> Tensor {
  if Tensor.differInRows(a, b) { return maximum(a.inAllRows, b.inAllRows) }
  return Tensor.binary(COIX_MAXIMUM, a, b, "maximum").recorded(
    from: a, b, { $0.shared(COIX_GREATER, a, b) }, { $0.shared(COIX_LESS, a, b) })
}

/// The smaller of two, elementwise; event shapes broadcast. NaN where either is NaN.
///
/// The gradient flows to the smaller one, half to each at a tie (as in JAX).
public func minimum(_ a: Tensor, _ b: Tensor) -> Tensor {
  if Tensor.differInRows(a, b) { return minimum(a.inAllRows, b.inAllRows) }
  return Tensor.binary(COIX_MINIMUM, a, b, "minimum").recorded(
    from: a, b, { $0.shared(COIX_LESS, a, b) }, { $0.shared(COIX_GREATER, a, b) })
}

extension Tensor {
  /// This gradient where the strict comparison holds, half of it at ties, 0 elsewhere (even if the gradient
  /// is infinite there).
  fileprivate func shared(_ comparison: coix_binary_op, _ a: Tensor, _ b: Tensor) -> Tensor {
    let isTie = Self.binary(COIX_EQUAL, a, b, "maximum")
    let tied = select(isTie, self * 0.5, 0)
    return select(Self.binary(comparison, a, b, "maximum"), self, tied)
  }

  /// The nearest number in a range, elementwise: `minimum(maximum(x, lower), upper)`.
  ///
  /// The gradient is 1 within the range, 0 outside of it, and 1/2 at its bounds (as that of `jnp.clip`).
  public func clamped(to range: ClosedRange<Float>) -> Tensor {
    minimum(maximum(self, Tensor(range.lowerBound)), Tensor(range.upperBound))
  }
}
