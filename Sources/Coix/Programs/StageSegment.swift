import CoixParallel

/// Some of an evaluation's stages, one after another, within a gradient computation.
///
/// The way back of a stage needs what it has read: of T stages, all that leaves any of them. Where that exceeds the evaluation's
/// memory budget, the stages are run in about √T segments. At the end of a segment what is in between is let go of, and when the
/// way back comes there, the segment is run once more, from the state that it began with. So about 2 √T stages are in memory, and all but the
/// last segment are computed twice. A stage is a pure function of what it reads: no bit depends on it.
struct StageSegment {
  /// How many stages a segment has.
  private let length: Int
  private let memory: MemoryAccount
  private let ranks: Ranks
  /// The segment's first stage, and the state before it.
  private let first: Int
  private let before: Machine
  private let mark: TapeMark
  /// The bytes that were held before the segment.
  private let heldBytes: Int

  /// The segment that begins with a stage; nil where everything is kept: without a gradient, too.
  init?(from first: Int, of run: inout EvaluationRun) {
    guard run.mayForgetSegments, let mark = TapeMark() else { return nil }
    length = Int(Double(run.code.stages.count).squareRoot().rounded(.up))
    (memory, ranks) = (run.memory, run.settings.options.workers.ranks)
    (self.first, self.mark, heldBytes) = (first, mark, run.memory.heldBytes)
    before = run.machine
    // From here on the run changes a copy.
    run.machine = Machine(copying: before, batch: before.batch, hasParticles: before.hasParticles)
  }

  /// Whether a stage is the last of the segment, with others behind it.
  func ends(with stage: Int, of run: EvaluationRun) -> Bool {
    stage + 1 - first == length && stage + 1 < run.code.stages.count
  }

  /// Whether all of the evaluation's segments will not have room, if those to come leave as much as this one.
  private func exceeds(_ run: EvaluationRun) -> Bool {
    let held = memory.heldBytes
    let segments = (run.code.stages.count - first - 1) / length
    return Double(held) + Double(max(held - heldBytes, 0)) * Double(segments) > Double(memory.stateBytes)
  }

  /// Lets go of what the segment has left on the tape, unless all of the evaluation's segments have room.
  ///
  /// - Throws: `CoixError.ranks(_:)`, `CoixError.otherRank(_:_:)`.
  func end(_ run: EvaluationRun) throws {
    // All ranks run a segment again, or none does.
    guard try ranks.greatest(run.forgetsSegments ?? exceeds(run) ? 1 : 0) == 1 else { return }
    let before = before
    let stages = first..<first + length
    var repeated = run
    repeated.isRepeated = true
    // Not the state behind the segment.
    repeated.machine = before
    mark.forget { [repeated] in
      var again = repeated
      again.machine = Machine(copying: before, batch: before.batch, hasParticles: before.hasParticles)
      for stage in stages { try again.run(stage: stage) }
    }
  }
}
