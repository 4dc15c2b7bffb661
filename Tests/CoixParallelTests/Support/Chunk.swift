@testable import CoixParallel

/// The rows that batched tensors of a test live in.
struct Chunk {
  let context: ExecutionContext
  let rows: Int

  /// A batched tensor with the given numbers, row-major `[rows, event...]`; padding rows repeat the last row.
  func batched(_ values: [Float], _ shape: Shape) -> Tensor {
    let tensor = Tensor(undefinedRows: shape, in: context)
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

/// A small generator for test data (Steele, Lea and Flood, 2014: SplitMix64).
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Numbers in a range, on a grid of 2^-10, so that adding a power of two to them is exact.
  mutating func floats(_ count: Int, in range: ClosedRange<Float>) -> [Float] {
    (0..<count).map { _ in (Float.random(in: range, using: &self) * 1024).rounded() / 1024 }
  }
}

/// How far `values` are from `expected`, relative to 1 + |expected|; infinities and NaN must match exactly.
func distance(_ values: [Float], _ expected: [Double]) -> Double {
  guard values.count == expected.count else { return .infinity }
  return zip(values, expected).reduce(0) { worst, pair in
    let (value, expected) = (Double(pair.0), pair.1)
    if value == expected || (value.isNaN && expected.isNaN) { return worst }
    let error = abs(value - expected) / (1 + abs(expected))
    return error.isFinite ? Swift.max(worst, error) : .infinity
  }
}
