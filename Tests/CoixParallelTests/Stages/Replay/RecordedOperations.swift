import CoixKernels
import TestSupport

@testable import CoixParallel

/// Lists of operations made by hand, with the memory of a plate that they read and write.
final class RecordedOperations {
  let rows = PlateRows(particles: 64)
  let recording = Recording()
  /// A plate's numbers, `[64, 2]`, and room for as many.
  let source: Storage
  let target: Storage
  /// Room for the sums of four chunks.
  let sums: Storage

  init() throws {
    (source, target, sums) = (try Storage.made(128), try Storage.made(128), try Storage.made(8))
    for index in 0..<128 { source.pointer[index] = Float(index % 37) / 8 - 2 }
    clear()
  }

  /// The plate's chunks: four of 16 rows.
  var grid: ChunkGrid { ChunkGrid(rows, chunkRows: 16) }

  /// A new value.
  func value(_ count: Int = 32) throws -> Storage {
    let storage = try Storage.made(count)
    recording.keep(storage)
    return storage
  }

  func append(_ operation: Operation) { recording.append(operation) }

  // MARK: Operations

  /// Fills a value with a number; the same in all chunks.
  func fill(_ value: Storage, _ number: Float = 1) {
    append(coix_op_fill(value.pointer, number, value.capacity, 1))
  }
  /// Loads the chunk's rows.
  func load(_ value: Storage) { append(coix_op_load_rows(source.pointer, nil, value.pointer, 16, 2, 0)) }
  func add(_ a: Storage, _ b: Storage, to value: Storage, op: coix_binary_op = COIX_ADD) {
    append(coix_op_binary(op, a.pointer, 0, 1, b.pointer, 0, 1, value.pointer, 1, 32, 1))
  }
  func sine(_ x: Storage, to value: Storage) {
    append(coix_op_unary(COIX_SIN, x.pointer, value.pointer, 32, 1))
  }
  /// Copies one of a value's two rows of numbers to one of another's.
  func copy(_ x: Storage, part: Int, to value: Storage, part target: Int) {
    append(coix_op_copy(x.pointer + 16 * part, 0, 1, value.pointer + 16 * target, 0, 1, 16))
  }
  /// Adds to a value in place.
  func accumulate(_ x: Storage, into value: Storage) {
    append(coix_op_accumulate(value.pointer, x.pointer, 32, 1))
  }
  /// Exports the value's rows.
  func store(_ value: Storage) { append(coix_op_store_rows(value.pointer, target.pointer, 2)) }
  /// Exports the sum of the value's first element over the chunk's rows.
  func sum(_ value: Storage) { append(coix_op_sum_rows(value.pointer, 0, sums.doubles, 1, 0)) }

  // MARK: Running them

  func clear() {
    target.pointer.update(repeating: 99, count: target.capacity)
    sums.pointer.update(repeating: 0, count: sums.capacity)
  }

  /// What has been exported.
  var exported: [UInt32] {
    (0..<128).map { target.pointer[$0].bitPattern } + (0..<8).map { sums.pointer[$0].bitPattern }
  }

  /// Runs the list as it is on all chunks.
  func runAll() -> [UInt32] {
    clear()
    for chunk in 0..<4 {
      inContext(of: chunk) { _ = coix_execute(recording.operations, recording.operations.count, $0.place) }
    }
    return exported
  }

  /// Runs a plan on all chunks; nil if it has not run to the end of each.
  func run(_ plan: ChunkPlan) -> [UInt32]? {
    clear()
    for chunk in 0..<4 where !inContext(of: chunk, { plan.run($0) { _, _ in } }) { return nil }
    return exported
  }

  func inContext<Result>(of chunk: Int, _ body: (ExecutionContext) throws -> Result) rethrows -> Result {
    let context = ExecutionContext(pool: nil, tape: nil, team: 1)
    context.take(grid[chunk], chunk)
    return try body(context)
  }
}

extension Storage {
  /// A buffer for a test.
  static func made(_ count: Int) throws -> Storage {
    guard let storage = Storage(count: count) else { throw lastRefusal }
    return storage
  }

  /// Its memory as numbers in double.
  var doubles: UnsafeMutablePointer<Double> {
    UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: Double.self)
  }
}
