import CoixKernels

extension Tensor {
  /// A kernel for an elementwise function of two tensors, whose shapes broadcast, without its gradient.
  static func binary(_ operation: coix_binary_op, _ a: Tensor, _ b: Tensor, _ name: @autoclosure () -> String)
    -> Tensor
  {
    if let refusal = a.refusal(name()) ?? b.refusal(name()) { return refusal }
    if differInRows(a, b) { return binary(operation, a.inAllRows, b.inAllRows, name()) }
    let batched = a.isBatched ? a : b
    if a.shape == b.shape {
      // One loop over everything, or one row of `b` or `a` against all rows: no plan needed.
      guard let result = Tensor(undefined: a.shape, like: batched) else { return .outOfMemory }
      if a.stride == b.stride {
        coix_op_binary(
          operation, a.pointer, 0, 1, b.pointer, 0, 1, result.pointer, 1, result.bufferCount,
          ExecutionContext.team
        ).run()
      } else {
        coix_op_binary(
          operation, a.pointer, a.rowCount, a.isBatched ? 1 : 0, b.pointer, b.rowCount, b.isBatched ? 1 : 0,
          result.pointer, a.shape.elementCount, batched.stride, 1
        ).run()
      }
      return result
    }
    guard let shape = Shape.broadcast(a.shape, b.shape) else {
      return mismatch(name(), [a.shape, b.shape], "the shapes don't broadcast")
    }
    if let refusal = refusal(name(), toMake: shape, like: batched) { return refusal }
    guard let result = Tensor(undefined: shape, like: batched) else { return .outOfMemory }
    if shape.elementCount == 0 { return result }
    if shape == a.shape && b.shape.elementCount == 1 && (a.isBatched || !b.isBatched) {
      // A number (or one per row) against everything.
      coix_op_binary(
        operation, a.pointer, a.rowCount, 1, b.pointer, 0, b.isBatched ? 1 : 0,
        result.pointer, a.isBatched ? shape.elementCount : 1, a.isBatched ? a.stride : result.bufferCount,
        ExecutionContext.team
      ).run()
      return result
    }
    let plan = BroadcastPlan([a, b], shape: shape, stride: result.stride)
    plan.walk { output, operands in
      coix_op_binary(
        operation, a.pointer + operands[0], plan.outer.strides[0], plan.inner.strides[0],
        b.pointer + operands[1], plan.outer.strides[1], plan.inner.strides[1],
        result.pointer + output, plan.outer.size, plan.inner.size, 1
      ).run()
    }
    return result
  }

  /// A gradient times a derivative. The result is 0 where the gradient is 0, even if the derivative is
  /// infinite or NaN there.
  func seed(times derivative: Tensor) -> Tensor {
    guard Tape.isRecording else { return Self.binary(COIX_SEED_MULTIPLY, self, derivative, "*") }
    if Self.differInRows(self, derivative) { return inAllRows.seed(times: derivative.inAllRows) }
    return Self.binary(COIX_SEED_MULTIPLY, self, derivative, "*").recorded(
      from: self, derivative, { $0.seed(times: derivative).finite(orSeeded: self) }, { $0.seed(times: self) })
  }

  /// A gradient divided by a divisor. The result is 0 where the gradient is 0, even if the divisor is 0,
  /// infinite or NaN there.
  func seed(over divisor: Tensor) -> Tensor {
    guard Tape.isRecording else { return Self.binary(COIX_SEED_DIVIDE, self, divisor, "/") }
    if Self.differInRows(self, divisor) { return inAllRows.seed(over: divisor.inAllRows) }
    let quotient = Self.binary(COIX_SEED_DIVIDE, self, divisor, "/")
    guard let tape = Tape.recording(self, divisor) else { return quotient }
    let (node, divisorNode) = (tape.node(of: self), tape.node(of: divisor))
    let output = tape.upcoming(quotient)
    return tape.record(
      quotient,
      .two(
        node, divisorNode, { $0.seed(over: divisor).finite(orSeeded: self) },
        { (-$0.seed(times: output)).seed(over: divisor) }))
  }

  /// This gradient of a seed, with zeros where it is infinite or NaN and the seed is 0: the rule that a seed
  /// of 0 gives 0 whatever the derivative, seen from the seed.
  private func finite(orSeeded seed: Tensor) -> Tensor {
    guard hasNonfinite else { return self }
    let plain = detached
    return select((seed.detached .== 0) * ((plain - plain) .!= 0), 0, self)
  }

  /// The elementwise sum; event shapes broadcast.
  public static func + (a: Tensor, b: Tensor) -> Tensor {
    if differInRows(a, b) { return a.inAllRows + b.inAllRows }
    return binary(COIX_ADD, a, b, "+").recordedSum(of: a, b, isDifference: false)
  }

  /// The elementwise difference; event shapes broadcast.
  public static func - (a: Tensor, b: Tensor) -> Tensor {
    if differInRows(a, b) { return a.inAllRows - b.inAllRows }
    return binary(COIX_SUBTRACT, a, b, "-").recordedSum(of: a, b, isDifference: true)
  }

  /// The elementwise product; event shapes broadcast.
  public static func * (a: Tensor, b: Tensor) -> Tensor {
    if differInRows(a, b) { return a.inAllRows * b.inAllRows }
    return binary(COIX_MULTIPLY, a, b, "*").recorded(from: a, b, { $0.seed(times: b) }, { $0.seed(times: a) })
  }

  /// The elementwise quotient; event shapes broadcast.
  public static func / (a: Tensor, b: Tensor) -> Tensor {
    if differInRows(a, b) { return a.inAllRows / b.inAllRows }
    let quotient = binary(COIX_DIVIDE, a, b, "/")
    guard let tape = Tape.recording(a, b) else { return quotient }
    let (aNode, bNode) = (tape.node(of: a), tape.node(of: b))
    let output = tape.upcoming(quotient)
    return tape.record(
      quotient, .two(aNode, bNode, { $0.seed(over: b) }, { (-$0.seed(times: output)).seed(over: b) }))
  }

  /// Adds in place.
  public static func += (a: inout Tensor, b: Tensor) { a = a + b }
  /// Subtracts in place.
  public static func -= (a: inout Tensor, b: Tensor) { a = a - b }
  /// Multiplies in place.
  public static func *= (a: inout Tensor, b: Tensor) { a = a * b }
  /// Divides in place.
  public static func /= (a: inout Tensor, b: Tensor) { a = a / b }

  // These overloads take a Float variable; literals are tensors already. They are disfavoured, so that
  // `[Float].reduce(0, +) / 2` remains a Float.

  /// Adds a number.
  @_disfavoredOverload
  public static func + (a: Tensor, b: Float) -> Tensor { a + Tensor(b) }
  /// Adds to a number.
  @_disfavoredOverload
  public static func + (a: Float, b: Tensor) -> Tensor { Tensor(a) + b }
  /// Subtracts a number.
  @_disfavoredOverload
  public static func - (a: Tensor, b: Float) -> Tensor { a - Tensor(b) }
  /// Subtracts from a number.
  @_disfavoredOverload
  public static func - (a: Float, b: Tensor) -> Tensor { Tensor(a) - b }
  /// Multiplies by a number.
  @_disfavoredOverload
  public static func * (a: Tensor, b: Float) -> Tensor { a * Tensor(b) }
  /// Multiplies a number.
  @_disfavoredOverload
  public static func * (a: Float, b: Tensor) -> Tensor { Tensor(a) * b }
  /// Divides by a number.
  @_disfavoredOverload
  public static func / (a: Tensor, b: Float) -> Tensor { a / Tensor(b) }
  /// Divides a number.
  @_disfavoredOverload
  public static func / (a: Float, b: Tensor) -> Tensor { Tensor(a) / b }
}
