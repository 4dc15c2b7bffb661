import Synchronization

/// The plans of a stage, one for each form of chunk that is recorded.
final class ChunkPlans: Sendable {
  /// The first chunk that may be recorded; nil if none may.
  private let first: Int?
  /// Whether the first chunk of every form is recorded, or that chunk alone.
  private let allForms: Bool

  private struct State {
    var claimed: [ChunkRows] = []
    var plans: [ChunkPlan] = []
  }

  private let state = Mutex(State())

  init(recordingFrom first: Int?, allForms: Bool) {
    self.first = first
    self.allForms = allForms
  }

  /// Whether a chunk may be the one that is recorded.
  func mayClaim(_ chunk: Int) -> Bool { first.map { allForms ? chunk >= $0 : chunk == $0 } ?? false }

  /// Whether a chunk is to be recorded: true for one chunk of each form.
  func claims(_ chunk: Int, _ rows: ChunkRows) -> Bool {
    guard mayClaim(chunk) else { return false }
    return state.withLock { state in
      guard !state.claimed.contains(where: rows.hasForm(of:)) else { return false }
      state.claimed.append(rows)
      return true
    }
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

  /// The addresses that the plans read and that were there before the chunks.
  var readings: [UnsafeRawPointer] { state.withLock { $0.plans.flatMap(\.readings) } }
  /// Those of them that Swift code has read, and may have decided by.
  var decisions: [UnsafeRawPointer] { state.withLock { $0.plans.flatMap(\.decisions) } }
}
