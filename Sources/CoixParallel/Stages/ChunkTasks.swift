/// A stage's chunks, divided into tasks of consecutive chunks, and the ranks and workers that take them.
struct ChunkTasks: Sendable {
  /// How the plate is cut; nil outside of plates.
  let grid: ChunkGrid?
  let workers: Workers
  /// Where the plate is in a larger one that it is a part of.
  let part: PlatePart?
  let chunkCount: Int
  /// How many tasks there are.
  let count: Int
  private let chunksPerTask: Int
  /// The ranks among which the tasks are divided; this one alone if it runs all of them.
  private(set) var ranks: Ranks

  init(grid: ChunkGrid?, workers: Workers, part: PlatePart? = nil) {
    self.grid = grid
    self.workers = workers
    self.part = part
    chunkCount = grid?.chunkCount ?? 1
    chunksPerTask = (chunkCount + Limits.tasks - 1) / Limits.tasks
    count = (chunkCount + chunksPerTask - 1) / chunksPerTask
    // Where some ranks would have nothing to do, each runs all tasks: nothing need be exchanged then.
    ranks = count < workers.ranks.count ? .alone : workers.ranks
  }

  /// The same tasks, all run by this rank.
  var undivided: ChunkTasks {
    var tasks = self
    tasks.ranks = .alone
    return tasks
  }

  /// The tasks of a rank, and their chunks.
  private func tasks(of rank: Int) -> Range<Int> {
    count * rank / ranks.count..<count * (rank + 1) / ranks.count
  }
  func chunks(of rank: Int) -> Range<Int> {
    let own = tasks(of: rank)
    return own.lowerBound * chunksPerTask..<min(own.upperBound * chunksPerTask, chunkCount)
  }

  /// The tasks that run here.
  var ownTasks: Range<Int> { tasks(of: ranks.index) }
  /// The first of the chunks that run here.
  var firstChunk: Int { ownTasks.lowerBound * chunksPerTask }

  /// Whose rows of a stage's results are whose; nil where each rank is to have all of them: where each runs all tasks, and for
  /// nested plates.
  var shares: RowShares? {
    guard ranks.count > 1, let grid, grid.isFlat else { return nil }
    let borders = (0..<ranks.count).map { rows(of: chunks(of: $0).lowerBound).first }
    return RowShares(ranks: ranks, borders: borders + [rows(of: chunkCount - 1).plate.count])
  }

  func rows(of chunk: Int) -> ChunkRows { grid?[chunk] ?? .none }

  /// Runs `work` on each chunk of this rank; a task's chunks in order, on one worker.
  ///
  /// - Parameters:
  ///   - list: the tasks to run; nil for all of this rank's.
  ///   - step: the recording of the step that the stage is a part of, while it is recorded.
  ///   - needs: what notes the rows that chunks lack, and the tasks that wait for them.
  func forEachChunk(
    in list: [Int]? = nil, of step: Recording? = nil, _ needs: RowNeeds? = nil,
    _ work: @Sendable (_ chunk: Int, _ task: Int, ExecutionContext) throws -> Void
  ) throws {
    // Recording is not Sendable: while workers run, they use what it has a lock for.
    nonisolated(unsafe) let step = step
    let own = ownTasks
    try workers.run(tasks: list?.count ?? own.count) { number, context, shouldStop in
      let task = list?[number] ?? own.lowerBound + number
      context.step = step
      context.part = part
      context.runsAllChunks = ranks.count == 1
      for chunk in task * chunksPerTask..<min((task + 1) * chunksPerTask, chunkCount) {
        if shouldStop() { return }
        if let needs, needs.isAny { return needs.wait(task) }
        context.lacking = []
        do { try work(chunk, task, context) } catch { if context.lacking.isEmpty { throw error } }
        if !context.lacking.isEmpty {
          guard let needs else {
            throw CoixError.ranks("rows of other ranks are read where ranks cannot exchange any")
          }
          return needs.wait(task, for: context.lacking)
        }
      }
    }
  }

  /// Runs a plan on a chunk, if there is one for it; returns whether it has run, or lacks rows of other ranks.
  func replay(_ plans: ChunkPlans, _ chunk: Int, _ context: ExecutionContext, _ sums: GradientSums?) throws
    -> Bool
  {
    guard let plan = plans.plan(for: rows(of: chunk)) else { return false }
    context.take(rows(of: chunk), chunk)
    if plan.lacksRows(context) { return true }
    return try plan.run(context) { try sums?.add($0, at: $1) }
  }

  /// Sums of gradients, one for each task.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  func makeSums() throws(CoixError) -> Table<GradientSums> {
    try Table(count: count, for: "the gradients of \(count) tasks") { GradientSums() }
  }
}
