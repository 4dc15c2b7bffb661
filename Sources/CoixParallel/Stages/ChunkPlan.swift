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
  // @unchecked: what changes is under a lock or atomic; the rest is written by `init` alone.

  /// A gradient that the operations compute, for a uniform tensor of the parent tape.
  struct Gradient {
    let parentNode: Int32
    let shape: Shape
    fileprivate let position: Position
  }

  /// Where a value is: in the arena, or at an address of its own.
  fileprivate enum Position {
    case arena(offset: Int)
    case fixed(UnsafeMutableRawPointer)
  }

  /// A pointer of an operation into the arena.
  private struct Relocation {
    let operation: Int
    let pointer: Int
    /// In bytes.
    let offset: Int
  }

  private let rows: ChunkRows
  /// Arena pointers are filled in for each ``Instance``.
  private let operations: [Operation]
  private let relocations: [Relocation]
  private let arenaBytes: Int
  let gradients: [Gradient]
  /// What the operations' other pointers point into.
  private let kept: [AnyObject]

  /// The operations with the pointers of one arena.
  private final class Instance: @unchecked Sendable {
    // @unchecked: one worker uses it at a time.
    let operations: [Operation]
    let arena: UnsafeMutableRawPointer

    init?(_ plan: ChunkPlan) {
      guard let arena = Memory.buffer(bytes: plan.arenaBytes) else { return nil }
      self.arena = arena
      var operations = plan.operations
      for relocation in plan.relocations {
        operations[relocation.operation].setPointer(relocation.pointer, to: arena + relocation.offset)
      }
      self.operations = operations
    }

    deinit { free(arena) }
  }

  /// Instances that no worker uses at the moment.
  private let idle = Mutex<[Instance]>([])
  /// Chunks on which a guard had the expected outcome, and on which it had not.
  private let successes = Atomic<Int>(0)
  private let failures = Atomic<Int>(0)

  /// A plan from the recording of a chunk; nil if the recording does not say all that was computed.
  ///
  /// - Parameter gradients: the gradients of the parent's uniform tensors that the chunk computed.
  init?(_ recording: Recording, of rows: ChunkRows, gradients: [(parentNode: Int32, tensor: Tensor)]) {
    guard recording.isComplete else { return nil }
    let values = RecordedValues(recording)
    guard values.areComplete else { return nil }
    let wanted = gradients.map { values.number(of: $0.tensor.pointer) }
    let isLive = values.liveOperations(wanted: wanted)
    let layout = values.layout(of: isLive, wanted: wanted)

    self.rows = rows
    var (operations, relocations): ([Operation], [Relocation]) = ([], [])
    for index in recording.operations.indices where isLive[index] {
      for (pointer, place) in values.places(of: index).enumerated() where place.value >= 0 {
        guard let offset = layout.offsets[place.value] else { continue }
        relocations.append(
          Relocation(operation: operations.count, pointer: pointer, offset: offset + place.offset))
      }
      operations.append(recording.operations[index])
    }
    (self.operations, self.relocations) = (operations, relocations)
    arenaBytes = layout.bytes
    self.gradients = zip(gradients, wanted).map { gradient, value in
      let offset = value >= 0 ? layout.offsets[value] : nil
      return Gradient(
        parentNode: gradient.parentNode, shape: gradient.tensor.shape,
        position: offset.map { .arena(offset: $0) } ?? .fixed(gradient.tensor.pointer))
    }
    kept =
      recording.owners
      + recording.storages.indices.filter { layout.offsets[$0] == nil }.map { recording.storages[$0] }
  }

  /// Whether the plan is for chunks with this many rows of each plate.
  func fits(_ rows: ChunkRows) -> Bool {
    rows.particles.count == self.rows.particles.count && rows.instances.count == self.rows.instances.count
      && failures.load(ordering: .relaxed) <= successes.load(ordering: .relaxed) + 2
  }

  /// Runs the operations on the context's chunk, then calls `body` with the gradients' addresses.
  ///
  /// - Returns: whether it has run to the end. If not, the chunk's numbers are such that the program would have
  ///   taken another way, and the chunk is to be run by the program.
  func run(
    _ context: ExecutionContext, _ body: (Gradient, UnsafePointer<Float>) throws -> Void
  ) rethrows -> Bool {
    guard let instance = idle.withLock({ $0.popLast() }) ?? Instance(self) else { return false }
    defer { idle.withLock { $0.append(instance) } }
    guard coix_execute(instance.operations, instance.operations.count, context.place) == operations.count
    else {
      failures.add(1, ordering: .relaxed)
      return false
    }
    successes.add(1, ordering: .relaxed)
    for gradient in gradients {
      let address =
        switch gradient.position {
        case .arena(let offset): instance.arena + offset
        case .fixed(let address): address
        }
      try body(gradient, UnsafePointer(address.assumingMemoryBound(to: Float.self)))
    }
    return true
  }
}
