import Synchronization

/// A stage of many chunks within a step that is replayed: its forward pass, or its way back, as plans that run on
/// all chunks.
final class StageReplay: RecordedCall {
  private let tasks: ChunkTasks
  private let plans: ChunkPlans
  /// The memory of constants that the plans' preparations write, for all plans.
  private let constants: [Range<UnsafeRawPointer>]
  /// What the chunks write, and what is the same for all of them and others read.
  private var results: [UnsafeMutableRawPointer]
  /// What ranks write together.
  private var exchanges: [RankExchange]
  /// Where the gradients of the parent's uniform tensors go, summed over all chunks.
  private var totals: [GradientSums.Total] = []
  /// [task]: what these sums are made of; nil if nobody needs them.
  private var sums: Table<GradientSums>?

  init(
    _ plans: ChunkPlans, on tasks: ChunkTasks, results: [UnsafeMutableRawPointer],
    exchanges: [RankExchange], constants: [Range<UnsafeRawPointer>] = []
  ) {
    plans.forgetNeeds()
    self.plans = plans
    self.tasks = tasks
    self.results = results
    self.exchanges = exchanges
    self.constants = constants
  }

  /// Has a run sum up the gradients, too, and put them where these tensors are.
  ///
  /// - Parameter sums: those of the first run, whose memory further runs use.
  func deliver(_ sums: Table<GradientSums>, to totals: [(parentNode: Int32, tensor: Tensor)]) {
    self.sums = sums
    self.totals = totals.map { GradientSums.Total($0.parentNode, in: $0.tensor) }
  }

  var reads: [UnsafeRawPointer] {
    plans.readings.filter { address in !constants.contains { $0.contains(address) } }
  }
  var writes: [UnsafeMutableRawPointer] {
    results + totals.map { UnsafeMutableRawPointer($0.address) }
  }

  func narrow(_ isNeeded: (UnsafeRawPointer) -> Bool) {
    plans.narrow(isNeeded)
    results.removeAll { !isNeeded($0) }
    exchanges.removeAll { !isNeeded($0.address) }
  }

  func move(_ target: (UnsafeRawPointer) -> UnsafeMutableRawPointer?) {
    plans.move(target)
    exchanges = exchanges.map { $0.moved(to: target($0.address)) }
    for index in totals.indices { totals[index].address.follow(target) }
  }

  /// The ranks that run the step: they agree on whether a run has been a replay, also where each has run all chunks.
  var ranks: Ranks { tasks.workers.ranks }

  /// A chunk may take another way than the recorded one.
  var decides: Bool { true }

  func add(to form: inout RankForm) {
    for exchange in exchanges { form.add(exchange.numbersPerRow) }
    for total in totals { form.add(total.count) }
  }

  /// Runs the plans on all chunks; returns false if a chunk has none, or takes another way than the recorded one.
  func run() throws -> Bool {
    guard try isReplayedByAll() else { return false }
    try tasks.gather(exchanges)
    if let sums { try GradientSums.addUp(sums, from: tasks, to: totals) }
    return true
  }

  private func isReplayedByAll() throws -> Bool {
    guard ranks.count > 1 else { return try runPlans() }
    var isReplayed = false
    let isSame = try ranks.share(.replay, size: tasks.chunkCount) {
      isReplayed = try runPlans()
      return isReplayed ? 1 : 0
    }
    return isReplayed && isSame
  }

  private func runPlans() throws -> Bool {
    guard plans.prepare() else { return false }
    sums?.clear()
    let (tasks, plans, sums) = (tasks, plans, sums)
    let isReplayed = Atomic<Bool>(true)
    try tasks.forEachChunk { chunk, task, context in
      if try !tasks.replay(plans, chunk, context, sums?[task]) {
        isReplayed.store(false, ordering: .relaxed)
      }
    }
    return isReplayed.load(ordering: .relaxed)
      && sums.map { GradientSums.areFor(totals, $0, of: tasks) } ?? true
  }
}
