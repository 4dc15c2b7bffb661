import CoixKernels

// How an operation checks its operands: whether they may be used here, and how their shapes broadcast.

extension Tensor {
  /// The poisoned result of an operation that cannot use this operand; nil if it can.
  @inline(__always)
  func refusal(_ operation: @autoclosure () -> String) -> Tensor? {
    ExecutionContext.withCurrent { $0?.recording?.keep(owner: storage) }
    if storage.isPlain && (stride == 0 || scope == ExecutionContext.current?.scope) { return nil }
    return refused(operation())
  }

  private func refused(_ operation: String) -> Tensor? {
    do throws(CoixError) { try takeAllRanksRows() } catch { return Tensor(failure: error) }
    if !isPoisoned && !isMapped && (stride == 0 || ExecutionContext.current?.axes(of: self) != nil) {
      return nil
    }
    if let failure = storage.failure {
      ExecutionContext.remember(failure)
      return self
    }
    let reason =
      isMapped
      ? "a tensor mapped over plate \"\(storage.mapping?.plate ?? "")\" has values only inside of the plate's "
        + "programs, which take it as an argument and don't capture it"
      : "a tensor of another chunk or evaluation is used here; programs must not keep tensors in outer variables"
    return Tensor(failure: .misplacedTensor(operation: operation, reason: reason))
  }

  /// Whether two operands of the chunk have values for rows of different plates. They then meet
  /// ``inAllRows``.
  @inline(__always)
  static func differInRows(_ a: Tensor, _ b: Tensor) -> Bool {
    a.scope != b.scope && a.stride > 0 && b.stride > 0 && differInRows([a, b])
  }

  /// Whether any two of three operands differ in this way.
  @inline(__always)
  static func differInRows(_ a: Tensor, _ b: Tensor, _ c: Tensor) -> Bool {
    differInRows(a, b) || differInRows(a, c) || differInRows(b, c)
  }

  /// Whether any two of several operands differ in this way.
  static func differInRows(_ operands: [Tensor]) -> Bool {
    let batched = operands.filter(\.isBatched)
    guard batched.contains(where: { $0.scope != batched[0].scope }) else { return false }
    // Operations refuse tensors of another chunk with an error of their own.
    return batched.allSatisfy { ExecutionContext.current?.axes(of: $0) != nil }
  }

  /// Whether a tensor of the chunk varies over some of its plates only.
  @inline(__always)
  var lacksRows: Bool { stride > 0 && scope != ExecutionContext.current?.scope }

  /// The tensor with a value for each row of the chunk, if it varies over some of the chunk's plates only;
  /// any other tensor as it is.
  var inAllRows: Tensor {
    guard lacksRows, let context = ExecutionContext.current, let axes = context.axes(of: self) else {
      return self
    }
    if let refusal = Tensor.refusal("plate", toMake: shape, rows: context.stride) { return refusal }
    guard let result = Tensor(undefinedRows: shape, in: context) else { return .outOfMemory }
    let (particles, instances) = (context.chunk.particles.count, context.chunk.instances.count)
    coix_op_spread_rows(
      pointer, stride, result.pointer, result.stride, shape.elementCount, particles, instances,
      axes == .instances ? 1 : 0
    ).run()
    let input = self
    return result.recorded(from: self) { gradient in
      guard gradient.isBatched else {
        return gradient * Tensor(Float(axes == .instances ? particles : instances))
      }
      guard let sum = Tensor(undefined: input.shape, like: input) else { return .outOfMemory }
      coix_op_fold_rows(
        gradient.pointer, gradient.stride, sum.pointer, sum.stride, input.shape.elementCount, particles,
        instances,
        axes == .instances ? 1 : 0
      ).run()
      return sum
    }
  }

  /// The tensor with a value for each row of the chunk, also if it is the same for all of them; outside of
  /// plates the tensor itself.
  var inEachRow: Tensor {
    guard !isBatched, let context = ExecutionContext.current, context.rows > 0 else { return inAllRows }
    if let refusal = Tensor.refusal("plate", toMake: shape, rows: context.stride) { return refusal }
    guard let result = Tensor(undefinedRows: shape, in: context) else { return .outOfMemory }
    coix_op_copy(pointer, 1, 0, result.pointer, result.stride, shape.elementCount, result.stride).run()
    return result.recorded(from: self) { $0 }
  }

  /// The poisoned result for operands whose shapes don't fit. If an operand is already poisoned, the result
  /// has that operand's error instead: a poisoned operand's shape means nothing.
  package static func mismatch(
    _ operation: String, of operands: [Tensor], shapes: [Shape]? = nil, _ reason: String
  ) -> Tensor {
    for operand in operands where operand.isPoisoned {
      if let refusal = operand.refusal(operation) { return refusal }
    }
    return mismatch(operation, shapes ?? operands.map(\.shape), reason)
  }

  /// The poisoned result for shapes that don't fit.
  package static func mismatch(_ operation: String, _ shapes: [Shape], _ reason: String) -> Tensor {
    Tensor(failure: .shape(operation: operation, shapes: shapes, reason: reason))
  }

  /// The output of a one-input operation. If the input is tracked, the output is recorded with its pullback.
  @inline(__always)
  func recorded(from input: Tensor, _ pullback: @escaping (Tensor) -> Tensor) -> Tensor {
    guard let tape = Tape.recording(input) else { return self }
    return tape.record(self, .one(input: tape.node(of: input), pullback))
  }

  /// The same for a pullback that uses the output, which it gets as the tracked tensor.
  @inline(__always)
  func recorded(from input: Tensor, withOutput pullback: (_ output: Tensor) -> (Tensor) -> Tensor) -> Tensor {
    guard let tape = Tape.recording(input) else { return self }
    let node = tape.node(of: input)
    return tape.record(self, .one(input: node, pullback(tape.upcoming(self))))
  }

  /// The output of a two-input operation. If an input is tracked, the output is recorded with the tracked
  /// inputs' pullbacks.
  @inline(__always)
  func recorded(
    from first: Tensor, _ second: Tensor,
    _ firstPullback: @escaping (Tensor) -> Tensor, _ secondPullback: @escaping (Tensor) -> Tensor
  ) -> Tensor {
    guard let tape = Tape.recording(first, second) else { return self }
    let firstNode = tape.node(of: first)
    let secondNode = tape.node(of: second)
    return tape.record(self, .two(firstNode, secondNode, firstPullback, secondPullback))
  }

  /// The output of a sum or difference of two tensors, recorded if one of them is tracked.
  @inline(__always)
  func recordedSum(of first: Tensor, _ second: Tensor, isDifference: Bool) -> Tensor {
    guard let tape = Tape.recording(first, second) else { return self }
    return tape.record(self, .sum(tape.node(of: first), tape.node(of: second), isDifference: isDifference))
  }

  /// Summed over everything that was broadcast from `shape` (and over the rows, for a `stride` of 0).
  ///
  /// Padding rows of gradients are zero, so the sum over rows may run over them.
  func summed(to shape: Shape, stride: Int) -> Tensor {
    var result = self
    if result.stride > 0 && stride == 0 { result = result.summedOverRows() }
    if result.shape == shape || result.isPoisoned { return result }
    let extra = result.shape.rank - shape.rank
    if extra > 0 { result = result.sum(axes: Array(0..<extra)) }
    if result.isPoisoned { return result }
    let stretched = (0..<shape.rank).filter { shape[$0] == 1 && result.shape[$0] != 1 }
    if !stretched.isEmpty { result = result.sum(axes: stretched, keepingAxes: true) }
    return result
  }

  /// The sum over the rows of the chunk: a uniform tensor. For gradients only, whose padding rows are zero.
  func summedOverRows() -> Tensor {
    guard let result = Tensor(undefined: shape) else { return .outOfMemory }
    coix_op_reduce(COIX_SUM, pointer, result.pointer, shape.elementCount, stride, 1, 1).run()
    return result
  }
}

/// How the elements of broadcast operands are read while an output is filled: nested loops around a kernel
/// call, which itself has two loops.
struct BroadcastPlan {
  /// The operands' strides, in elements, for an axis of the output.
  struct Axis {
    let size: Int
    let strides: [Int]
  }

  /// Axes that the kernel's outer loop does not cover, outermost first.
  private(set) var loops: [Axis] = []
  /// The kernel's outer loop.
  private(set) var outer: Axis
  /// The kernel's inner loop; strides are 0 or 1.
  private(set) var inner: Axis

  /// A plan for operands that broadcast to `shape`, with `stride` padded rows (0: uniform).
  init(_ operands: [Tensor], shape: Shape, stride: Int) {
    let rows = Swift.max(stride, 1)
    // Element strides of each operand along each axis of the output, rows last.
    var axes: [Axis] = []
    for axis in 0..<shape.rank {
      let strides = operands.map { operand -> Int in
        let own = axis - (shape.rank - operand.shape.rank)
        guard own >= 0, operand.shape[own] != 1 else { return 0 }
        return operand.shape.product(own + 1..<operand.shape.rank) * operand.rowCount
      }
      axes.append(Axis(size: shape[axis], strides: strides))
    }
    if stride > 0 { axes.append(Axis(size: rows, strides: operands.map { $0.isBatched ? 1 : 0 })) }
    // Neighbouring axes are merged if every operand passes through them with continuing strides.
    var merged: [Axis] = []
    for axis in axes where axis.size != 1 {
      if let last = merged.last,
        zip(last.strides, axis.strides).allSatisfy({ $0 == $1 * axis.size })
      {
        merged[merged.count - 1] = Axis(size: last.size * axis.size, strides: axis.strides)
      } else {
        merged.append(axis)
      }
    }
    let unit = Axis(size: 1, strides: operands.map { _ in 0 })
    if let last = merged.last, last.strides.allSatisfy({ $0 <= 1 }) {
      inner = merged.removeLast()
    } else {
      inner = unit
    }
    outer = merged.popLast() ?? unit
    loops = merged
  }

  /// Calls `body` with the offsets of the output and of each operand, once for each kernel call.
  func walk(_ body: (_ output: Int, _ operands: [Int]) -> Void) {
    let block = outer.size * inner.size
    var offsets = outer.strides.map { _ in 0 }
    func descend(_ level: Int, _ output: inout Int) {
      guard level < loops.count else {
        body(output, offsets)
        output += block
        return
      }
      for _ in 0..<loops[level].size {
        descend(level + 1, &output)
        for operand in offsets.indices { offsets[operand] += loops[level].strides[operand] }
      }
      for operand in offsets.indices { offsets[operand] -= loops[level].strides[operand] * loops[level].size }
    }
    var output = 0
    descend(0, &output)
  }
}
