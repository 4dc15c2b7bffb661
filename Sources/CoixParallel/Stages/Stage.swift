// A stage does the same work on every chunk of a plate, in parallel, and has a backward pass. This file has what
// goes into a stage, what comes out, and the function that runs it: it finds how finely the plate is cut. Each
// attempt is a `StageRun`.

/// How a plate is cut and run.
package struct StagePlan: Sendable {
  /// The plate's rows; nil for a stage outside of any plate.
  package var rows: PlateRows?
  /// The most rows of a chunk, if the user chose it.
  package var chunkRows: Int?
  package var workers: Workers
  /// Where the particles are in a larger plate that they are a part of.
  package var part: PlatePart?
  /// The memory that there is for what leaves the stage, and for tapes.
  package var memory = MemoryAccount()
  /// Whether the stage runs again, for the way back.
  package var isRepeated = false
  /// In a trial, the rows that the plate's stand for.
  package var trial: TrialRows?
  /// Whether some of the results go to files.
  package var writesFiles = false
  /// Whether each chunk runs its backward pass right after its forward pass, from those of its sums that are
  /// marked `isLoss`.
  package var isHot: Bool
  /// Whether what the first chunk computes may be recorded, to be run again on the others without the body.
  package var isRecorded: Bool

  package init(
    rows: PlateRows?, chunkRows: Int?, workers: Workers, part: PlatePart? = nil, isHot: Bool,
    isRecorded: Bool = true
  ) {
    self.rows = rows
    self.chunkRows = chunkRows
    self.workers = workers
    self.part = part
    self.isHot = isHot
    self.isRecorded = isRecorded
  }

  /// The same plan on one thread, one chunk after another.
  var inOrder: StagePlan {
    var plan = self
    plan.workers = Workers.inOrder
    return plan
  }
}

/// The results of one chunk.
package struct ChunkOutcome {
  /// One tensor that leaves the chunk.
  package enum Export {
    /// Merged with the other chunks' into one tensor over the plate's rows.
    case rows(Tensor)
    /// Summed over the plate's rows. If `isLoss`, a hot stage takes the sum's gradient at once, with the seed
    /// 1.
    case sum(Tensor, isLoss: Bool)

    var tensor: Tensor {
      switch self {
      case .rows(let tensor), .sum(let tensor, _): tensor
      }
    }
    /// Whether this exports the rows of `other`, so that exporting `other` as well would give the same tensor
    /// twice.
    package func isRows(of other: Tensor) -> Bool {
      guard case .rows(let tensor) = self else { return false }
      return tensor.isSame(as: other)
    }
    /// Expands a tensor that varies over some of the plates only, so that it has a value for each row.
    mutating func takeAllRows() {
      switch self {
      case .rows(let tensor): self = .rows(tensor.inAllRows)
      case .sum(let tensor, let isLoss): self = .sum(tensor.inAllRows, isLoss: isLoss)
      }
    }
    var isSum: Bool { if case .sum = self { true } else { false } }
    var isLoss: Bool { if case .sum(_, let isLoss) = self { isLoss } else { false } }
  }

  /// Where the rows of an export go instead of memory.
  package struct FilePlace {
    package let file: any NewRowFile
    /// The shape of the array there.
    package let shape: Shape
    package let hasLogWeights: Bool

    package init(_ file: any NewRowFile, _ shape: Shape, hasLogWeights: Bool) {
      (self.file, self.shape, self.hasLogWeights) = (file, shape, hasLogWeights)
    }
  }

  package var exports: [Export]
  /// The names of the sites. They must be the same in every chunk; if not, the stage throws.
  package var signature: [SiteName]
  /// Anything else that the chunk hands on. Only the first chunk's payload is kept.
  package var payload: any Sendable
  /// The tensors that the payload hands on as they are: they are the same for all rows.
  package var kept: [Tensor]
  /// Where the rows of some exports go instead of memory, by number.
  package var files: [Int: FilePlace] = [:]

  package init(exports: [Export], signature: [SiteName], payload: any Sendable, kept: [Tensor] = []) {
    self.exports = exports
    self.signature = signature
    self.payload = payload
    self.kept = kept
  }
}

/// The results of a stage.
package struct StageResult {
  /// One tensor for each export. Merged rows are a tensor over the plate's rows, `[rows, event...]`, or a
  /// uniform tensor if it was uniform in the chunks. A sum is a scalar.
  package var tensors: [Tensor]
  /// The first chunk's payload.
  package var payload: any Sendable
  /// The number of chunks the plate was cut into.
  package var chunkCount: Int
}

/// Runs `body` on every chunk of a plate, and merges the chunks' results.
///
/// Within a gradient computation the stage becomes a part of the caller's tape. Gradients that reach its
/// results are propagated back through every chunk, in parallel, and summed in a fixed order. A chunk
/// computes the same whenever it runs, so that its tape need not be kept: a stage keeps the tapes of as many
/// chunks as fit into the cache and records the others again when the gradient comes. A hot stage takes the
/// loss's gradient of each chunk at once, while the chunk is in the cache, and keeps no tape at all.
///
/// - Throws: the error of the first chunk that has one, in the chunks' order: the same for any number of
///   threads; ``CoixError/memory(what:bytes:)`` where the merged tensors don't fit into memory;
///   ``CoixError/memoryBudget(what:bytes:budget:)`` where they don't fit into the evaluation's budget.
package func runStage(
  _ plan: StagePlan, _ body: @escaping @Sendable (ExecutionContext) throws -> ChunkOutcome
) throws -> StageResult {
  // The results of a stage take at least one number a row, in memory or in a file.
  if let rows = plan.rows?.count, !plan.writesFiles {
    try Memory.bytes(
      rows / plan.workers.ranks.count, of: MemoryLayout<Float>.stride, for: "a plate of \(rows) rows")
  }
  let tape = ExecutionContext.current?.tape
  let rows = max(plan.rows?.count ?? 1, 1)
  var chunkRows = plan.chunkRows.map { min($0, rows) } ?? Limits.chunkRows(of: rows)
  while true {
    let grid = plan.rows.map { ChunkGrid($0, chunkRows: chunkRows) }
    do {
      return try untilRowsHaveCome {
        try StageRun(plan: plan, grid: grid, parent: tape, body: body).forward()
      }
    } catch is ChunkOutgrown {
      chunkRows = ExecutionContext.paddedRows(chunkRows / 2)
    } catch let difference as ChunksDiffer {
      // All chunks are compared with the one that ended first, which can be another one in each run. One
      // after another, they are compared with the first chunk, which gives the same error in each run.
      do {
        try untilRowsHaveCome {
          _ = try StageRun(plan: plan.inOrder, grid: grid, parent: nil, body: body).forward()
        }
      } catch is ChunkOutgrown {
        chunkRows = ExecutionContext.paddedRows(chunkRows / 2)
        continue
      } catch let difference as ChunksDiffer {
        throw difference.error
      }
      throw difference.error
    } catch let error as CoixError where error.location != nil {
      // The error should name the first row that fails. With chunks of consecutive rows, that row is in the
      // first chunk that fails.
      guard let rows = plan.rows, rows.isNested else { throw error }
      let consecutive = ChunkGrid(consecutive: rows, chunkRows: chunkRows)
      do {
        try untilRowsHaveCome {
          _ = try StageRun(plan: plan, grid: consecutive, parent: nil, body: body).forward()
        }
      } catch is ChunkOutgrown {
      } catch is ChunksDiffer {
      }
      throw error
    }
  }
}
