@testable import CoixParallel

/// The rows that batched tensors of a test live in.
struct Chunk {
  let context: ExecutionContext
  let rows: Int

  /// A batched tensor with the given numbers, row-major `[rows, event...]`; padding rows repeat the last row.
  func batched(_ values: [Float], _ shape: Shape) -> Tensor {
    guard let tensor = Tensor(undefinedRows: shape, in: context) else { return .outOfMemory }
    for element in 0..<shape.elementCount {
      for lane in 0..<context.stride {
        tensor.pointer[element * context.stride + lane] =
          values[min(lane, rows - 1) * shape.elementCount + element]
      }
    }
    return tensor
  }

  /// A gradient with the given numbers: like ``batched(_:_:)`` with zeros in the padding rows.
  func seed(_ values: [Float], _ shape: Shape) -> Tensor {
    let tensor = batched(values, shape)
    for element in 0..<shape.elementCount {
      for lane in rows..<context.stride { tensor.pointer[element * context.stride + lane] = 0 }
    }
    return tensor
  }

  /// A tensor's numbers, row-major `[rows, event...]`; one row for a uniform tensor.
  func values(_ tensor: Tensor) -> [Float] {
    if !tensor.isBatched { return tensor.scalars }
    let count = tensor.shape.elementCount
    return (0..<rows * count).map { tensor.pointer[$0 % count * tensor.stride + $0 / count] }
  }
}

/// Runs `body` as a program's closure is run: in a chunk of `rows` rows.
func inChunk<Result>(rows: Int, tape: Tape? = nil, _ body: (Chunk) throws -> Result) rethrows -> Result {
  let pool = BufferPool.borrow()
  defer { BufferPool.handBack(pool) }
  let context = ExecutionContext(pool: pool, tape: nil, team: 1)
  context.enter(
    ChunkRows(particles: 0..<rows, instances: 0..<1, plate: PlateRows(particles: rows)), tape: tape)
  return try context.withCurrent { try body(Chunk(context: context, rows: rows)) }
}

/// The gradient of `sum(weights * function(inputs))` with respect to each input, for uniform tensors.
func gradients(
  of function: ([Tensor]) -> Tensor, at inputs: [Tensor], weights: [Float]? = nil
) throws -> [[Float]] {
  let tape = Tape()
  return try inChunk(rows: 1, tape: tape) { chunk in
    let tracked = inputs.map {
      $0.tracked(node: tape.append(shape: $0.shape, stride: 0, .none), tape: tape.id)
    }
    let output = try function(tracked).validated()
    if output.node >= 0 {
      let seed = weights.map { Tensor($0, shape: output.shape) } ?? .ones(output.shape)
      tape.add(try seed.validated(), to: output.node)
    }
    try tape.pullBack()
    if let failure = chunk.context.failure { throw failure }
    return tracked.map {
      tape.gradient(of: $0.node)?.scalars ?? Array(repeating: 0, count: $0.shape.elementCount)
    }
  }
}
