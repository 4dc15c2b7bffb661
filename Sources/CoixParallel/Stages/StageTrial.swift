import CoixKernels

/// The rows that a trial's rows stand for.
///
/// A trial is an evaluation with a few rows of each plate, which shows what the evaluation itself will have in memory: as
/// many bytes for a row, as long. Its numbers mean nothing. What leaves a stage for memory is zeros.
package struct TrialRows: Sendable {
  /// How many there are.
  let all: Int
  /// How many of them this rank has.
  let count: Int

  /// The rows of plates, outermost first. Of ranks that share them, each has the fewest that it may have: how many they
  /// are depends on the size of chunks, which a trial does not know.
  package init(batch: [Int], chunkRows: Int?, workers: Workers) {
    let all = batch.reduce(1, *)
    var (fewest, size) = (all, chunkRows.map { min($0, all) } ?? Limits.chunkRows(of: all))
    while workers.ranks.count > 1, batch.count == 1 {
      let grid = ChunkGrid(PlateRows(particles: all), chunkRows: size)
      if let own = ChunkTasks(grid: grid, workers: workers).shares?.own.count { fewest = min(fewest, own) }
      let next = ExecutionContext.paddedRows(size / 2)
      guard chunkRows == nil, next < size else { break }
      size = next
    }
    (self.all, count) = (all, fewest)
  }

  /// The memory that numbers take of which each row has so many.
  func bytes(each width: Int) -> Int {
    let (numbers, overflow) = count.multipliedReportingOverflow(by: width)
    guard !overflow, numbers < Int.max / 8 else { return .max }
    return (count < all ? numbers : BufferPool.roundedCapacity(numbers)) * MemoryLayout<Float>.stride
  }
}

/// A resampling in a trial: the rows that those before and behind it stand for.
package struct TrialResampling: Sendable {
  private let before: TrialRows
  private let behind: TrialRows
  private let ranks: Int

  package init(of before: TrialRows, to behind: TrialRows, ranks: Int) {
    (self.before, self.behind, self.ranks) = (before, behind, ranks)
  }

  /// How many ancestors' row numbers this rank has. Of few particles each rank has all.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)`` for more than can be numbered.
  var ancestors: Int {
    get throws(CoixError) {
      guard max(before.all, behind.all) <= Int32.max else {
        throw .memory(what: "resampling more than 2^31 rows", bytes: .max)
      }
      return RowShares.areMany(before.all, on: ranks) ? behind.count : behind.all
    }
  }
}

extension ExecutionContext {
  /// Runs a trial. Nothing of it stays with the caller: no errors, nothing on the tape, nothing in a recording.
  package static func trial<Result>(_ body: () throws -> Result) rethrows -> Result {
    let caller = current
    let context = ExecutionContext(pool: caller?.pool, tape: caller?.tape, team: 1, isCaller: true)
    return try context.withCurrent {
      guard let tape = context.tape else { return try body() }
      return try tape.withoutTrace(body)
    }
  }
}
