import Synchronization

/// A stage of many chunks within a step that is replayed: its forward pass, or its way back, as plans that run on
/// all chunks.
final class StageReplay {
  private let tasks: ChunkTasks
  private let plans: ChunkPlans
  /// The memory of constants that the plans' preparations write, for all plans.
  private let constants: [Range<UnsafeRawPointer>]
  /// What the chunks write, and what is the same for all of them and others read.
  private var results: [UnsafeMutableRawPointer]
  /// Where the gradients of the parent's uniform tensors go, summed over all chunks.
  private var totals: [GradientSums.Total] = []
  /// [task]: what these sums are made of; nil if nobody needs them.
  private var sums: Table<GradientSums>?

  init(
    _ plans: ChunkPlans, on tasks: ChunkTasks, results: [UnsafeMutableRawPointer],
    constants: [Range<UnsafeRawPointer>] = []
  ) {
    self.plans = plans
    self.tasks = tasks
    self.results = results
    self.constants = constants
  }

  /// Has a run sum up the gradients, too, and put them where these tensors are.
  ///
  /// - Parameter sums: those of the first run, whose memory further runs use.
  func deliver(_ sums: Table<GradientSums>, to totals: [(parentNode: Int32, tensor: Tensor)]) {
    self.sums = sums
    self.totals = totals.map { GradientSums.Total($0.parentNode, in: $0.tensor) }
  }

  /// The addresses in a step's memory that a run reads, and those that it writes.
  var reads: [UnsafeRawPointer] {
    plans.readings.filter { address in !constants.contains { $0.contains(address) } }
  }
  var writes: [UnsafeMutableRawPointer] {
    results + totals.map { UnsafeMutableRawPointer($0.address) }
  }

  /// Leaves out what nobody needs.
  ///
  /// - Parameter isNeeded: whether something that a run writes is.
  func narrow(_ isNeeded: (UnsafeRawPointer) -> Bool) {
    plans.narrow(isNeeded)
    results.removeAll { !isNeeded($0) }
  }

  /// Changes the addresses of what has moved, for the runs to come.
  ///
  /// - Parameter target: the new address of an address; nil for what stays.
  func move(_ target: (UnsafeRawPointer) -> UnsafeMutableRawPointer?) {
    plans.move(target)
    for index in totals.indices {
      guard let address = target(totals[index].address) else { continue }
      totals[index].address = address.assumingMemoryBound(to: Float.self)
    }
  }

  /// Runs the plans on all chunks; returns false if a chunk has none, or takes another way than the recorded one.
  func run() throws -> Bool {
    guard plans.prepare() else { return false }
    sums?.clear()
    let (tasks, plans, sums) = (tasks, plans, sums)
    let isReplayed = Atomic<Bool>(true)
    try tasks.forEachChunk { chunk, task, context in
      if try !tasks.replay(plans, chunk, context, sums?[task]) {
        isReplayed.store(false, ordering: .relaxed)
      }
    }
    guard isReplayed.load(ordering: .relaxed) else { return false }
    return sums.map { GradientSums.addUp($0, to: totals, team: tasks.workers.team) } ?? true
  }
}
