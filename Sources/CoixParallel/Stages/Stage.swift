// A stage is the same work on every chunk of a plate, in parallel, and its way back. Here is what goes into a
// stage and what comes out; StageRun.swift has the run.

/// How a plate is cut and run.
package struct StagePlan: Sendable {
  /// The plate's rows; nil for a stage outside of any plate.
  package var rows: PlateRows?
  /// Rows a chunk, if the user chose them.
  package var chunkRows: Int?
  package var workers: Workers
  /// Whether each chunk goes backward at once, from its row sums marked so.
  package var isHot: Bool

  package init(rows: PlateRows?, chunkRows: Int?, workers: Workers, isHot: Bool) {
    self.rows = rows
    self.chunkRows = chunkRows
    self.workers = workers
    self.isHot = isHot
  }

  /// The same on one thread, one chunk after another.
  var inOrder: StagePlan {
    var plan = self
    plan.workers = Workers.inOrder
    return plan
  }
}

/// What a chunk leaves behind.
package struct ChunkOutcome {
  /// One tensor that leaves the chunk.
  package enum Export {
    /// Merged with the other chunks' into one tensor over the plate's rows.
    case rows(Tensor)
    /// Summed over the plate's rows. Where `isLoss`, its gradient is taken at once in a hot stage, with the
    /// seed 1.
    case sum(Tensor, isLoss: Bool)

    var tensor: Tensor {
      switch self {
      case .rows(let tensor), .sum(let tensor, _): tensor
      }
    }
    /// Whether this merges the rows of `other`: merging it again would be the same.
    package func isRows(of other: Tensor) -> Bool {
      guard case .rows(let tensor) = self else { return false }
      return tensor.isSame(as: other)
    }
    /// Gives a tensor that varies over some of the plates only a value for each row.
    mutating func takeAllRows() {
      switch self {
      case .rows(let tensor): self = .rows(tensor.inAllRows)
      case .sum(let tensor, let isLoss): self = .sum(tensor.inAllRows, isLoss: isLoss)
      }
    }
    var isSum: Bool { if case .sum = self { true } else { false } }
    var isLoss: Bool { if case .sum(_, let isLoss) = self { isLoss } else { false } }
  }

  package var exports: [Export]
  /// The names of the sites: the same in every chunk, or the program isn't pure.
  package var signature: [SiteName]
  /// Whatever the chunk wants to hand on besides; that of the first chunk is kept.
  package var payload: any Sendable

  package init(exports: [Export], signature: [SiteName], payload: any Sendable) {
    self.exports = exports
    self.signature = signature
    self.payload = payload
  }
}

/// What a stage leaves behind.
package struct StageResult {
  /// For each export: over the plate's rows, `[rows, event...]`; uniform, if it was uniform in the chunks;
  /// the sum, a scalar.
  package var tensors: [Tensor]
  /// The first chunk's payload.
  package var payload: any Sendable
  /// The number of chunks the plate was cut into.
  package var chunkCount: Int
}
