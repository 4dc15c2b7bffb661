import Synchronization

/// What an evaluation has of its memory budget, and what it has taken of it.
///
/// Counted are the tensors that the evaluation reads, what leaves its stages for memory and is still referred to, and tapes that are
/// kept, and the row numbers of ancestors. Nothing that is decided by it changes a result.
package final class MemoryAccount: Sendable {
  /// All that the evaluation may take, in bytes.
  package let budget: Int
  /// Whether somebody has asked for that budget.
  package let budgetIsChosen: Bool
  /// The part of ``budget`` that tapes may take.
  private var tapeBytes: Int { budget / 8 }
  /// What tensors may take beside tapes.
  package var stateBytes: Int { budget - tapeBytes }

  private let inputBytes: Int
  /// The recording of the step that the evaluation is a part of, which keeps what others have let go of.
  // nonisolated(unsafe): what is asked of it is behind its lock.
  nonisolated(unsafe) private let step: Recording?
  /// Whether the account is a trial's: it refuses nothing, but notes what has been needed.
  private let isTrial: Bool
  private let greatest = Mutex(Need())
  private let held = Mutex<[Held]>([])
  private let tapeFloats = Atomic<Int>(0)

  /// The least budget that has room for something.
  package struct Need: Sendable {
    package var bytes = 0
    /// What it is.
    package var what = ""
  }

  /// Memory that something owns which need not live as long as the account.
  private struct Held {
    weak var owner: (MemoryOwner & Sendable)?
    let bytes: Int
  }

  /// - Parameter inputs: the tensors that the evaluation reads. Data in files takes no memory.
  package init(_ budget: MemoryBudget, inputs: [Tensor]) {
    (self.budget, budgetIsChosen) = (budget.bytes, budget.isChosen)
    (step, isTrial) = (ExecutionContext.current?.recording, false)
    step?.note(budget: budget.bytes)
    var known: Set<UnsafeMutableRawPointer> = []
    inputBytes = inputs.reduce(0) { sum, tensor in
      known.insert(tensor.storage.address).inserted ? sum + Self.bytes(of: tensor) : sum
    }
  }

  /// An account for a trial of an evaluation that has not begun.
  package init(_ other: MemoryAccount) {
    (budget, budgetIsChosen) = (other.budget, other.budgetIsChosen)
    (inputBytes, step, isTrial) = (other.inputBytes, nil, true)
  }

  /// What a trial has needed.
  package var need: Need { greatest.withLock { $0 } }

  /// An account of all memory that the machine has.
  init() {
    (budget, budgetIsChosen) = (Memory.physical, false)
    (inputBytes, step, isTrial) = (0, nil, false)
  }

  private static func bytes(of tensor: Tensor) -> Int {
    let storage = tensor.storage
    guard storage.file == nil, storage.fileMemory == nil, storage.failure == nil else { return 0 }
    return storage.rankRows?.bytes ?? storage.capacity * MemoryLayout<Float>.stride
  }

  /// Counts a tensor as long as anything refers to its numbers.
  func hold(_ tensor: Tensor) {
    let bytes = Self.bytes(of: tensor)
    if bytes > 0 { hold(tensor.storage, bytes) }
  }

  /// Counts a tensor as if it were of so many bytes.
  func hold(_ tensor: Tensor, bytes: Int) { hold(tensor.storage, bytes) }

  /// Counts the row numbers of ancestors as long as anything refers to them.
  ///
  /// - Parameter trial: in a trial, the resampling that they stand for.
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  package func hold(_ ancestors: Ancestors, of trial: TrialResampling?) throws(CoixError) {
    let rows = try ancestors.index.rows
    let count = try trial?.ancestors ?? rows.count
    hold(rows, rows.rankRows?.bytes ?? count * MemoryLayout<Int32>.stride)
  }

  private func hold(_ owner: MemoryOwner & Sendable, _ bytes: Int) {
    held.withLock { held in
      held.removeAll { $0.owner == nil }
      held.append(Held(owner: owner, bytes: bytes))
    }
  }

  /// The bytes of the tensors that are read, and of those that are held.
  package var heldBytes: Int {
    held.withLock { $0.reduce(inputBytes) { isHeld($1) ? Self.sum($0, $1.bytes) : $0 } }
  }

  private func isHeld(_ memory: Held) -> Bool {
    guard let owner = memory.owner else { return false }
    return step?.hasDiscarded(owner) != true
  }

  private static func sum(_ a: Int, _ b: Int) -> Int {
    let (sum, overflow) = a.addingReportingOverflow(b)
    return overflow ? .max : sum
  }

  /// Throws unless there is room for tensors of so many bytes, and for their gradients.
  ///
  /// - Throws: ``CoixError/memoryBudget(what:bytes:budget:)``.
  func require(_ bytes: Int, _ gradients: Int, withTapes: Bool, for what: @autoclosure () -> String)
    throws(CoixError)
  {
    let state = [heldBytes, bytes, gradients].reduce(0, Self.sum)
    // The least budget whose seven eighths are as much.
    let least = withTapes ? Self.sum(state, max(state - 1, 0) / 7) : state
    if isTrial {
      greatest.withLock { if least > $0.bytes { $0 = Need(bytes: least, what: what()) } }
    } else if least > budget {
      throw .memoryBudget(what: what(), bytes: least, budget: budget)
    }
  }

  /// Counts a tape of so many floats as kept, if there is room for it.
  fileprivate func keepTape(_ floats: Int) -> Bool {
    let all = tapeFloats.add(floats, ordering: .relaxed).newValue
    guard all > tapeBytes / MemoryLayout<Float>.stride else { return true }
    releaseTapes(floats)
    return false
  }

  fileprivate func releaseTapes(_ floats: Int) { tapeFloats.subtract(floats, ordering: .relaxed) }
}

/// The tapes that a stage keeps for its way back.
final class KeptTapes: Sendable {
  private let account: MemoryAccount
  private let floats = Atomic<Int>(0)

  init(_ account: MemoryAccount) { self.account = account }

  deinit { account.releaseTapes(floats.load(ordering: .relaxed)) }

  /// Whether a chunk's tape of so many floats may be kept, too; it then counts as long as the stage lives.
  func keep(_ more: Int) -> Bool {
    guard floats.load(ordering: .relaxed) + more <= Limits.keptFloats, account.keepTape(more) else {
      return false
    }
    floats.add(more, ordering: .relaxed)
    return true
  }
}
