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

  /// The rows of the chunk that was recorded.
  let rows: ChunkRows
  private let operations: RelocatableOperations
  /// What is the same for all chunks. It has been computed; only where the stage is run again, with other
  /// parameters, it is computed again first.
  private let preparations: [Operation]
  let gradients: [Gradient]
  /// What the operations' fixed pointers point into.
  private let owners: [AnyObject]
  /// The addresses that the operations read beyond what the recording made: those that a step's own recording
  /// must know of.
  let readings: [UnsafeRawPointer]
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
    let values = RecordedValues(recording, variation: .rows)
    guard values.areComplete else { return nil }
    let keptValues = kept.map { values.number(of: $0.pointer) }
    guard !keptValues.contains(where: { $0 >= 0 && values.isVarying($0) }) else { return nil }
    let wanted: [Int] = gradients.map { values.number(of: $0.tensor.pointer) } + keptValues
    let isLive = values.liveOperations(wanted: wanted)
    let live = recording.operations.indices.filter { isLive[$0] }
    let varying = live.filter(values.varies)
    let layout = values.layout(of: isLive.indices.map { isLive[$0] && values.varies($0) }, wanted: wanted)
    self.rows = rows
    operations = values.relocated(varying, layout)
    preparations = live.filter { !values.varies($0) }.map { recording.operations[$0] }
    self.gradients = zip(gradients, wanted).map { gradient, value in
      let offset = value >= 0 ? layout.offsets[value] : nil
      return Gradient(
        parentNode: gradient.parentNode, shape: gradient.tensor.shape,
        position: offset.map { .arena(offset: $0) } ?? .fixed(gradient.tensor.pointer))
    }
    owners =
      recording.owners + values.foreign(recording.operands)
      + values.owners(of: isLive, layout, wanted: wanted)
    decisions =
      recording.readings.filter { values.number(of: $0) < 0 }
      + values.sources(of: recording.readings.map(values.number).filter { $0 >= 0 })
    readings = live.flatMap { index in
      let operation = recording.operations[index]
      return operation.withPointers { pointers in
        zip(pointers, values.places(of: index)).dropFirst(operation.writes)
          .compactMap { $1.value < 0 ? $0.map { UnsafeRawPointer($0) } : nil }
      }
    }
  }

  /// Whether guards mostly have the expected outcomes.
  var pays: Bool { failures.load(ordering: .relaxed) <= successes.load(ordering: .relaxed) + 2 }

  /// Computes again what is the same for all chunks; returns false if a guard has another outcome than the
  /// recorded one.
  func prepare() -> Bool { coix_execute(preparations, preparations.count, nil) == preparations.count }

  /// Runs the operations on the context's chunk, then calls `body` with the gradients' addresses.
  ///
  /// - Returns: whether it has run to the end. If not, the chunk's numbers are such that the program would have
  ///   taken another way, and the chunk is to be run by the program.
  func run(
    _ context: ExecutionContext, _ body: (Gradient, UnsafePointer<Float>) throws -> Void
  ) rethrows -> Bool {
    guard let instance = idle.withLock({ $0.popLast() }) ?? Instance(operations) else { return false }
    defer { idle.withLock { $0.append(instance) } }
    let count = instance.operations.count
    guard coix_execute(instance.operations, count, context.place) == count else {
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
