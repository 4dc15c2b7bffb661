import CoixKernels

/// Thrown where a chunk's working set outgrows its budget, so that the plate is cut finer.
struct ChunkOutgrown: Error {}

extension ExecutionContext {
  /// Notices a chunk that has outgrown its budget. Called at each site.
  package func checkBudget() throws {
    if hasOutgrown || (allocatedFloats > Limits.chunkFloats && isCuttable) { throw ChunkOutgrown() }
  }

  private var isCuttable: Bool { mayBeCut && stride > Int(COIX_LANES) }

  /// Whether one tensor alone is far beyond the budget. The chunk then is cut finer, and nothing so large is
  /// ever allocated.
  func outgrows(_ elements: Int, rows: Int) -> Bool {
    guard rows > 1, isCuttable, elements > Limits.chunkExcess * Limits.chunkFloats / rows else {
      return false
    }
    hasOutgrown = true
    return true
  }
}
