import Synchronization

/// The plans of a stage, one for each form of chunk that is recorded.
final class ChunkPlans: Sendable {
  /// The first chunk that may be recorded; nil if none may.
  private let first: Int?
  /// The first chunk that runs here, and its rows. Where it may be recorded, no other chunk of its form is: what it
  /// hands on must be what is recorded.
  private let firstChunk: Int
  private let firstRows: ChunkRows
  /// Whether a chunk of every form is recorded, or that first one alone.
  private let allForms: Bool

  private struct State {
    var claimed: [ChunkRows] = []
    var plans: [ChunkPlan] = []
  }

  private let state = Mutex(State())

  /// - Parameter first: the first chunk that may be recorded, counted from the first one that runs here.
  init(recordingFrom first: Int?, allForms: Bool, of tasks: ChunkTasks) {
    firstChunk = tasks.firstChunk
    firstRows = tasks.rows(of: firstChunk)
    self.first = first.map { $0 + tasks.firstChunk }
    self.allForms = allForms
  }

  /// Whether a chunk may be the one that is recorded.
  func mayClaim(_ chunk: Int) -> Bool { first.map { allForms ? chunk >= $0 : chunk == $0 } ?? false }

  /// Whether a chunk is to be recorded: true for one chunk of each form.
  func claims(_ chunk: Int, _ rows: ChunkRows) -> Bool {
    guard mayClaim(chunk), first != firstChunk || chunk == firstChunk || !rows.hasForm(of: firstRows) else {
      return false
    }
    return state.withLock { state in
      guard !state.claimed.contains(where: rows.hasForm(of:)) else { return false }
      state.claimed.append(rows)
      return true
    }
  }

  /// Takes a claim back: the chunk will run again.
  func unclaim(_ rows: ChunkRows) {
    state.withLock { $0.claimed.removeAll(where: rows.hasForm(of:)) }
  }

  /// Adds what came of a recording; nothing came of it if it was incomplete.
  func add(_ plan: ChunkPlan?) {
    guard let plan else { return }
    state.withLock { $0.plans.append(plan) }
  }

  /// The plan for a chunk, if there is one by now.
  func plan(for rows: ChunkRows) -> ChunkPlan? {
    guard first != nil else { return nil }
    return state.withLock { $0.plans.first { $0.pays && $0.rows.hasForm(of: rows) } }
  }

  /// Computes again what is the same for all chunks; returns false if it is such that the program would have
  /// taken another way.
  func prepare() -> Bool { state.withLock { $0.plans }.allSatisfy { $0.prepare() } }

  /// Whether any plan computes what is at an address once for all chunks.
  func prepare(_ address: UnsafeRawPointer) -> Bool {
    state.withLock { $0.plans }.contains { $0.prepares(address) }
  }

  /// Whether all plans write to all of these addresses.
  func write(_ addresses: [UnsafeRawPointer]) -> Bool {
    state.withLock { $0.plans }.allSatisfy { $0.writes.isSuperset(of: addresses) }
  }

  /// See ``ChunkPlan/forgetNeeds()``.
  func forgetNeeds() {
    for plan in state.withLock({ $0.plans }) { plan.forgetNeeds() }
  }

  /// See ``ChunkPlan/narrow(_:)``.
  func narrow(_ isNeeded: (UnsafeRawPointer) -> Bool) {
    for plan in state.withLock({ $0.plans }) { plan.narrow(isNeeded) }
  }

  /// See ``ChunkPlan/move(_:)``.
  func move(_ target: (UnsafeRawPointer) -> UnsafeMutableRawPointer?) {
    for plan in state.withLock({ $0.plans }) { plan.move(target) }
  }

  /// The addresses that the plans read and that were there before the chunks.
  var readings: [UnsafeRawPointer] { state.withLock { $0.plans.flatMap(\.readings) } }
  /// Those of them that Swift code has read, and may have decided by.
  var decisions: [UnsafeRawPointer] { state.withLock { $0.plans.flatMap(\.decisions) } }
}
