import CoixKernels

/// Thrown where a chunk's working set outgrows its budget, so that the plate is cut finer.
struct ChunkOutgrown: Error {}

extension ExecutionContext {
  /// Throws ``ChunkOutgrown`` if the chunk has outgrown its budget and the plate can be cut finer. Called at
  /// each site.
  package func checkBudget() throws {
    if hasOutgrown || (allocatedFloats > Limits.chunkFloats && isCuttable) { throw ChunkOutgrown() }
  }

  private var isCuttable: Bool { mayBeCut && stride > Int(COIX_LANES) }

  /// Whether one tensor of `elements` elements in `rows` rows is by itself far beyond the budget. If so, the
  /// tensor is not allocated, and the plate is cut finer.
  func outgrows(_ elements: Int, rows: Int) -> Bool {
    guard rows > 1, isCuttable, elements > Limits.chunkExcess * Limits.chunkFloats / rows else {
      return false
    }
    hasOutgrown = true
    return true
  }
}
