/// A stage's chunks, divided into tasks of consecutive chunks, and the workers that take them.
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

  init(grid: ChunkGrid?, workers: Workers, part: PlatePart? = nil) {
    self.grid = grid
    self.workers = workers
    self.part = part
    chunkCount = grid?.chunkCount ?? 1
    chunksPerTask = (chunkCount + Limits.tasks - 1) / Limits.tasks
    count = (chunkCount + chunksPerTask - 1) / chunksPerTask
  }

  func rows(of chunk: Int) -> ChunkRows { grid?[chunk] ?? .none }

  /// Runs `work` on each chunk; a task's chunks in order, on one worker.
  ///
  /// - Parameter step: the recording of the step that the stage is a part of, while it is recorded.
  func forEachChunk(
    of step: Recording? = nil,
    _ work: @Sendable (_ chunk: Int, _ task: Int, ExecutionContext) throws -> Void
  ) throws {
    // Recording is not Sendable: while workers run, they use what it has a lock for.
    nonisolated(unsafe) let step = step
    try workers.run(tasks: count) { task, context, shouldStop in
      context.step = step
      context.part = part
      for chunk in task * chunksPerTask..<min((task + 1) * chunksPerTask, chunkCount) {
        if shouldStop() { return }
        try work(chunk, task, context)
      }
    }
  }

  /// Runs a plan on a chunk, if there is one for it; returns whether it has run.
  func replay(_ plans: ChunkPlans, _ chunk: Int, _ context: ExecutionContext, _ sums: GradientSums?) throws
    -> Bool
  {
    guard let plan = plans.plan(for: rows(of: chunk)) else { return false }
    context.take(rows(of: chunk), chunk)
    return try plan.run(context) { try sums?.add($0, at: $1) }
  }

  /// Sums of gradients, one for each task.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  func makeSums() throws(CoixError) -> Table<GradientSums> {
    try Table(count: count, for: "the gradients of \(count) tasks") { GradientSums() }
  }
}
