import CoixKernels

/// The gradient of a function of one particle, by reverse-mode differentiation: for a step along the gradient
/// of a log-density within a program.
///
/// ```swift
/// let score = try gradient(of: { x in target.logProb(x) }, at: position)
/// let next = position + stepSize * score
/// ```
///
/// Each particle gets the gradient of its own number. The result is an ordinary tensor, which can be
/// differentiated again: by `valueWithGradient` around the evaluation, with
/// respect to `point` and to all that `function` reads, and by further calls of this function within `function`.
/// A gradient that has no derivative is an error only where that is asked for.
///
/// - Parameters:
///   - function: the function of the point. It returns one number for each particle. It may run twice.
///   - point: a tensor, or a tree of tensors such as a ``Tuple``. Each particle has its own point, also where
///     the points are the same for all.
/// - Returns: the gradient, of the point's shapes; zeros where the function doesn't depend on the point.
/// - Throws: what `function` throws; ``CoixError/shape(operation:shapes:reason:)`` unless it returns one number
///   for each particle; ``CoixError/gradient(_:)`` if it evaluates a program, or if a gradient within it has no
///   second derivative.
public func gradient<Point: TensorTree>(of function: (Point) throws -> Tensor, at point: Point) throws
  -> Point
{
  guard let context = ExecutionContext.current else {
    return try ExecutionContext.caller(team: Workers.standard.team).withCurrent {
      try gradient(of: function, at: point)
    }
  }
  // Where a tape records, it records the function, too, and the way back. Otherwise a tape for the function
  // alone will do.
  if let tape = context.tape { return try gradient(of: function, at: point, on: tape, in: context) }
  let pool = context.pool
  let tape = pool?.takeTape(parent: nil) ?? Tape()
  context.tape = tape
  defer {
    context.tape = nil
    pool?.giveTape(tape)
  }
  return try gradient(of: function, at: point, on: tape, in: context)
}

private func gradient<Point: TensorTree>(
  of function: (Point) throws -> Tensor, at point: Point, on tape: Tape, in context: ExecutionContext
) throws -> Point {
  let name = "gradient(of:at:)"
  func run(_ seen: (Tensor) -> Tensor) throws -> (point: Point, value: Tensor) {
    let tracked = try point.mapTensors { tape.point(at: try seen($0.refusal(name) ?? $0).validated()) }
    let value = try function(tracked)
    return (tracked, try (value.refusal(name) ?? value).validated())
  }
  var (tracked, number) = try run { $0 }
  // A point that is the same for several particles whose numbers differ has a gradient for each of them.
  if number.isBatched, tracked.flattened.contains(where: { !$0.isBatched || $0.scope != number.scope }) {
    (tracked, number) = try run(\.inEachRow)
  }
  guard number.shape.elementCount == 1 else {
    throw CoixError.shape(
      operation: name, shapes: [number.shape],
      reason: "the function must return one number for each particle")
  }
  let points = tracked.flattened
  let nodes = points.map(\.node)
  if let first = nodes.min(), tape.hasEvaluation(from: first) {
    throw CoixError.gradient("\(name): the function must not evaluate a program")
  }
  guard let seed = Tensor(undefined: number.shape, like: number) else { throw Storage.lastRefusal }
  coix_op_fill(seed.pointer, 1, seed.bufferCount, 1).run()
  let gradients = tape.gradients(of: number, seed: seed, at: nodes)
  try context.throwFailure()
  var position = 0
  return try tracked.mapTensors { point in
    defer { position += 1 }
    if let gradient = gradients[position] { return gradient }
    guard let zeros = Tensor(undefined: point.shape, like: point) else { throw Storage.lastRefusal }
    coix_op_fill(zeros.pointer, 0, zeros.bufferCount, 1).run()
    return zeros
  }
}
