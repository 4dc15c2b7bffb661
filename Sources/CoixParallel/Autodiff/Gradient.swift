import CoixKernels

/// A value and its gradient.
public struct ValueWithGradient<Parameters: TensorTree>: Sendable {
  /// The value as a tensor: what a function that is to be compiled goes on with.
  public private(set) var tensor: Tensor
  /// The value: one number.
  public var value: Float { tensor.scalar }
  /// Its derivative with respect to each parameter, in the parameters' own structure.
  public private(set) var gradient: Parameters
}

extension ValueWithGradient: TensorTree {
  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("value", &tensor)
    try visitor.visit("gradient", &gradient)
  }
}

/// The value of `body` at `parameters`, and its gradient by reverse-mode differentiation.
///
/// `body` gets the parameters as tracked tensors and returns a scalar that it computes from them: usually it
/// builds programs from the parameters, evaluates them and returns `metrics.loss`. Programs run on worker
/// threads, and so does their backward pass.
///
/// ```swift
/// let step = try valueWithGradient(at: network) { network in
///   try evaluate(inference(network), seed: key)(data).metrics.loss
/// }
/// ```
///
/// - Parameters:
///   - parameters: the point at which the gradient is taken.
///   - workers: the threads for tensor operations outside of evaluations; usually the same workers as the
///     evaluations'.
///   - body: the function of the parameters.
/// - Throws: what `body` throws; ``CoixError/shape(operation:shapes:reason:)`` unless it returns one number;
///   ``CoixError/gradient(_:)`` within another gradient computation.
public func valueWithGradient<Parameters: TensorTree>(
  at parameters: Parameters, workers: Workers = .standard, _ body: (Parameters) throws -> Tensor
) throws -> ValueWithGradient<Parameters> {
  try valueWithGradient(at: parameters, workers: workers) { (try body($0), ()) }.0
}

/// The value of `body` and its gradient, for a `body` that also returns a second result, for example metrics.
///
/// - Throws: the same errors as the function for a `body` without a second result.
public func valueWithGradient<Parameters: TensorTree, Besides>(
  at parameters: Parameters, workers: Workers = .standard, _ body: (Parameters) throws -> (Tensor, Besides)
) throws -> (ValueWithGradient<Parameters>, Besides) {
  let outer = ExecutionContext.current
  guard outer?.isCaller ?? true, outer?.tape == nil else {
    throw CoixError.gradient("a gradient within a program or another gradient computation is not supported")
  }
  let pool = BufferPool.borrow()
  defer { BufferPool.handBack(pool) }
  let tape = pool.takeTape(parent: nil)
  // Stages and the tape refer to each other. Giving the tape back breaks that cycle, also after an error.
  defer { pool.giveTape(tape) }
  let context = ExecutionContext(pool: pool, tape: tape, team: workers.team, isCaller: true)
  context.recording = outer?.recording
  return try context.withCurrent {
    let tracked = try parameters.mapTensors { tensor in
      let plain = try tensor.validated()
      guard !plain.isMapped else {
        throw CoixError.gradient("data mapped over a plate cannot be a parameter")
      }
      return tape.record(plain.detached, .none)
    }
    let (value, besides) = try body(tracked)
    try context.throwFailure()
    guard try value.validated().shape.elementCount == 1, !value.isBatched else {
      throw CoixError.shape(
        operation: "valueWithGradient", shapes: [value.shape], reason: "the value must be one number")
    }
    if value.node >= 0 {
      guard value.tape == tape.id else { throw Tape.stale }
      tape.add(Tensor(repeating: 1, shape: value.shape), to: value.node)
      try tape.pullBack()
      try context.throwFailure()
    }
    let gradient = try tracked.mapTensors { try tape.gradient(of: $0.node)?.validated() ?? .zeros($0.shape) }
    return (ValueWithGradient(tensor: value.detached, gradient: gradient), besides)
  }
}
