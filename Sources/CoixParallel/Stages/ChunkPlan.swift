import CoixKernels
import Foundation
import Synchronization

/// What a stage computes in a chunk, as a list of operations that runs on other chunks of the same form without
/// the program: nothing is allocated, counted or decided per operation.
///
/// The list is made from a ``Recording`` of one chunk. Left out is what nobody reads, and what is the same for
/// all chunks (its results are kept). What remains lives in one buffer for each worker, the arena, where values
/// that are not needed at the same time share their place. Operations keep their order and their arguments, so
/// that all bits are those of the recorded program.
final class ChunkPlan: @unchecked Sendable {
  // @unchecked: what workers change is under a lock or atomic; the rest changes while none of them runs.

  /// A gradient that the operations compute, for a uniform tensor of the parent tape.
  struct Gradient {
    let parentNode: Int32
    let shape: Shape
    fileprivate let address: UnsafeMutableRawPointer
  }

  /// What runs.
  private struct Content {
    /// What runs on each chunk.
    var operations: RelocatableOperations
    /// What is the same for all chunks. It has been computed; only where the stage is run again, with other
    /// parameters, it is computed again first.
    var preparations: [Operation]
    /// For each gradient, where it is in the arena; nil for one that is the same for all chunks.
    let gradientOffsets: [Int?]
    /// The addresses that the operations read beyond what the recording made: those that a step's own recording
    /// must know of.
    let readings: [UnsafeRawPointer]
    /// The values that are neither in the arena nor from before the recording.
    let fixedValues: [Int]

    /// - Parameters:
    ///   - wanted: the values of the gradients, then others that must be there after the preparations.
    ///   - isLive: by operation, whether it is needed.
    init(_ recorded: [Operation], _ values: RecordedValues, _ isLive: [Bool], wanted: [Int], gradients: Int) {
      let live = recorded.indices.filter { isLive[$0] }
      let layout = values.layout(of: isLive.indices.map { isLive[$0] && values.varies($0) }, wanted: wanted)
      operations = values.relocated(live.filter(values.varies), layout)
      preparations = live.filter { !values.varies($0) }.map(values.operation)
      gradientOffsets = wanted.prefix(gradients).map { $0 >= 0 ? layout.offsets[$0] : nil }
      fixedValues = values.fixedValues(of: isLive, layout, wanted: wanted)
      readings = live.flatMap { index in
        let operation = recorded[index]
        return operation.withPointers { pointers in
          zip(pointers, values.places(of: index)).dropFirst(operation.writes)
            .compactMap { $1.value < 0 ? $0.map { UnsafeRawPointer($0) } : nil }
        }
      }
    }
  }

  /// The rows of the chunk that was recorded.
  let rows: ChunkRows
  private let recorded: [Operation]
  private var values: RecordedValues
  private let wanted: [Int]
  private var content: Content
  private var gradients: [Gradient]
  /// What the operations' fixed pointers point into.
  private let owners: [MemoryOwner]
  /// The addresses that the operations read and that were there before the chunk.
  var readings: [UnsafeRawPointer] { content.readings }
  /// Whether the operations that are the same for all chunks write to an address.
  func prepares(_ address: UnsafeRawPointer) -> Bool {
    content.preparations.contains { operation in
      operation.withPointers { $0.prefix(operation.writes).contains { $0.map { $0 == address } ?? false } }
    }
  }

  /// The addresses of this kind that they write.
  var writes: Set<UnsafeRawPointer> {
    Set(
      recorded.indices.filter { recorded[$0].isExport }.flatMap { index in
        recorded[index].withPointers { pointers in
          pointers.prefix(recorded[index].writes).compactMap { $0.map { UnsafeRawPointer($0) } }
        }
      })
  }
  /// What the operations read that may be another rank's, until a call before the stage sees to it.
  private var needs: [RowNeed]
  /// The addresses of this kind that Swift code has read, or what it has read was computed from. It may have
  /// decided by them.
  let decisions: [UnsafeRawPointer]

  /// The operations with the pointers of one arena.
  private final class Instance: @unchecked Sendable {
    // @unchecked: one worker uses it at a time.
    let operations: [Operation]
    let arena: UnsafeMutableRawPointer

    init?(_ plan: RelocatableOperations) {
      guard let arena = Memory.buffer(bytes: plan.arenaBytes) else { return nil }
      self.arena = arena
      operations = plan.placed(in: arena)
    }

    deinit { free(arena) }
  }

  /// Instances that no worker uses at the moment.
  private let idle = Mutex<[Instance]>([])
  /// Chunks on which the guards had the expected outcomes, and on which they had not.
  private let successes = Atomic<Int>(0)
  private let failures = Atomic<Int>(0)

  /// A plan from the recording of a chunk; nil if the recording does not say all that was computed.
  ///
  /// - Parameters:
  ///   - gradients: the gradients of the parent's uniform tensors that the chunk computed.
  ///   - kept: tensors that are the same for all rows, to be computed again with what is the same for all chunks.
  init?(
    _ recording: Recording, of rows: ChunkRows, gradients: [(parentNode: Int32, tensor: Tensor)],
    keeping kept: [Tensor] = []
  ) {
    var values = RecordedValues(
      recording, variation: .rows, pinned: kept.map { UnsafeRawPointer($0.pointer) })
    guard values.areComplete else { return nil }
    let keptValues = kept.map { values.number(of: $0.pointer) }
    guard !keptValues.contains(where: { $0 >= 0 && values.isVarying($0) }) else { return nil }
    wanted = gradients.map { values.number(of: $0.tensor.pointer) } + keptValues
    let isLive = values.liveOperations(wanted: wanted)
    let content = Content(
      recording.operations, values, isLive, wanted: wanted, gradients: gradients.count)
    decisions =
      recording.readings.filter { values.number(of: $0) < 0 }
      + values.sources(of: recording.readings.map(values.number).filter { $0 >= 0 })
    owners = recording.owners + content.fixedValues.map { recording.buffers[$0].owner }
    self.rows = rows
    self.gradients = gradients.map {
      Gradient(
        parentNode: $0.parentNode, shape: $0.tensor.shape, address: values.address(of: $0.tensor.pointer))
    }
    recorded = recording.operations
    needs = recording.needs
    (self.values, self.content) = (values, content)
  }

  // MARK: As a part of a step

  /// From now on, what the operations read is here before they run.
  func forgetNeeds() { needs = [] }

  /// Leaves out the exports that nobody needs, and what only they need.
  ///
  /// - Parameter isNeeded: whether an address that the operations write to is.
  func narrow(_ isNeeded: (UnsafeRawPointer) -> Bool) {
    let isLive = values.liveOperations(wanted: wanted, exports: isNeeded)
    content = Content(recorded, values, isLive, wanted: wanted, gradients: gradients.count)
    idle.withLock { $0 = [] }
  }

  /// Changes the pointers to what has moved.
  ///
  /// - Parameter target: the new address of an address; nil for what stays.
  func move(_ target: (UnsafeRawPointer) -> UnsafeMutableRawPointer?) {
    content.operations.move(target)
    for index in content.preparations.indices { content.preparations[index].movePointers(target) }
    gradients = gradients.map {
      Gradient(parentNode: $0.parentNode, shape: $0.shape, address: target($0.address) ?? $0.address)
    }
    idle.withLock { $0 = [] }
  }

  // MARK: Running

  /// Whether guards mostly have the expected outcomes.
  var pays: Bool { failures.load(ordering: .relaxed) <= successes.load(ordering: .relaxed) + 2 }

  /// Computes again what is the same for all chunks; returns false if a guard has another outcome than the
  /// recorded one.
  func prepare() -> Bool {
    let preparations = content.preparations
    return coix_execute(preparations, preparations.count, nil) == preparations.count
  }

  /// Whether rows are missing here that the operations read on the context's chunk, which then lacks them.
  func lacksRows(_ context: ExecutionContext) -> Bool {
    for need in needs where !need.isMet(for: context.chunk.numbers, onAllRanks: context.runsAllChunks) {
      context.lacking.append(need)
    }
    return !context.lacking.isEmpty
  }

  /// Runs the operations on the context's chunk, then calls `body` with the gradients' addresses.
  ///
  /// - Returns: whether it has run to the end. If not, the chunk's numbers are such that the program would have
  ///   taken another way, and the chunk is to be run by the program.
  func run(
    _ context: ExecutionContext, _ body: (Gradient, UnsafePointer<Float>) throws -> Void
  ) rethrows -> Bool {
    guard let instance = idle.withLock({ $0.popLast() }) ?? Instance(content.operations) else { return false }
    defer { idle.withLock { $0.append(instance) } }
    let count = instance.operations.count
    guard coix_execute(instance.operations, count, context.place) == count else {
      failures.add(1, ordering: .relaxed)
      return false
    }
    successes.add(1, ordering: .relaxed)
    for (gradient, offset) in zip(gradients, content.gradientOffsets) {
      let address = offset.map { instance.arena + $0 } ?? gradient.address
      try body(gradient, UnsafePointer(address.assumingMemoryBound(to: Float.self)))
    }
    return true
  }
}
