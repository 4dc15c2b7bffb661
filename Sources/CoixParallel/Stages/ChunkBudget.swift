import CoixKernels

/// Thrown where a chunk's working set outgrows its budget, so that the plate is cut finer.
struct ChunkOutgrown: Error {}

extension ExecutionContext {
  /// Throws ``ChunkOutgrown`` if the chunk has outgrown its budget and the plate can be cut finer. Called at
  /// each site.
  package func checkBudget() throws {
    if hasOutgrown || (allocatedFloats > Limits.chunkFloats && isCuttable && fillsLanesWhenCut) {
      throw ChunkOutgrown()
    }
  }

  /// Whether half of the chunk has instances for whole vectors, and many particles of each. What varies over
  /// instances only is computed once for all of a chunk's particles; in a chunk of few instances, it is computed
  /// for a vector of them nevertheless.
  private var fillsLanesWhenCut: Bool {
    !plate.isNested || stride / 2 >= Int(COIX_LANES) * min(plate.particles, Limits.particlesBeforeInstances)
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
