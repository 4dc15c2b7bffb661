import CoixParallel

/// What a trial stands for.
///
/// Before an evaluation with several stages runs, a trial finds out whether any of them will not fit into the memory budget: the
/// same program, in plates of two rows. What leaves its stages is counted as if they had all rows, as long as anything
/// refers to it, and so is what its gradient computation keeps. It asks for as much memory at the same places.
struct EvaluationTrial {
  /// The plates of each stage.
  private let plates: [[Plate]]
  /// Their rows.
  private let rows: [TrialRows]
  /// How many ranks share them.
  private let ranks: Int

  fileprivate init(of run: EvaluationRun) {
    ranks = run.settings.options.workers.ranks.count
    plates = run.code.stages.map(\.plates)
    rows = plates.map {
      TrialRows(
        batch: $0.map(\.count), chunkRows: $0.first?.chunkRows, workers: run.settings.options.workers)
    }
  }

  /// The rows that those of a stage stand for.
  func rows(of stage: Int) -> TrialRows { rows[stage] }

  /// The rows that a resampling behind a stage makes of the stage's.
  func resampling(behind stage: Int) -> TrialResampling {
    TrialResampling(of: rows[stage], to: rows[min(stage + 1, rows.count - 1)], ranks: ranks)
  }

  /// Throws if data is mapped over a plate of a stage that has another number of rows.
  func requireRows(of tensor: Tensor, in stage: Int) throws(CoixError) {
    guard let (name, found) = tensor.mappedOver,
      let plate = plates[stage].first(where: { $0.name == name }), plate.count != found
    else { return }
    throw CoixError.rowCount(plate: name, expected: plate.count, found: found)
  }

  /// A trial takes as long as a chunk of few rows does in each stage: as long as some thousand rows of a small program. It is made
  /// only where the budget would not do if each row of each stage left so many bytes behind: 1 MiB, which hardly any program
  /// does; 4 KiB, which few do, where nobody has asked for a budget. With the least budget that a machine of 8 GiB has by default, it
  /// is then less than a hundredth of the work.
  fileprivate static func bytesOfRow(in memory: MemoryAccount) -> Double {
    memory.budgetIsChosen ? 0x1p20 : 0x1p12
  }
}

extension EvaluationRun {
  /// Finds out, before any stage runs, whether what lies between segments of stages can stay in memory or must be let go of.
  ///
  /// - Throws: `CoixError.memoryBudget(what:bytes:budget:)` if it does not fit either way; `CoixError.memory(what:bytes:)`;
  ///   what ranks throw.
  mutating func requireMemory() throws {
    let stages = code.stages.filter(\.hasRowWork)
    guard trial == nil, stages.count > 1, settings.path == nil, !settings.keepsWeightTerms else { return }
    let ranks = settings.options.workers.ranks
    let rows = stages.reduce(0.0) { $0 + $1.plates.reduce(1.0) { $0 * Double($1.count) } }
    let budget = memory.budget
    let hasSegments = ExecutionContext.current?.recordsTape == true && mayForgetSegments
    var forgets: Bool?
    // Another rank may have another budget.
    try ranks.onEach {
      guard rows / Double(ranks.count) * EvaluationTrial.bytesOfRow(in: memory) > Double(budget) else {
        return
      }
      guard let all = try need(forgettingSegments: false) else { return }
      if all.bytes <= budget {
        forgets = false
        return
      }
      guard let least = hasSegments ? try need(forgettingSegments: true) : all else { return }
      guard least.bytes <= budget else {
        throw CoixError.memoryBudget(what: least.what, bytes: least.bytes, budget: budget)
      }
      forgets = true
    }
    forgetsSegments = forgets
  }

  /// What the evaluation needs, by a trial of it; nil if the trial fails: the evaluation itself will say why, where it isn't due to the
  /// trial's numbers.
  ///
  /// - Throws: `CoixError.memory(what:bytes:)`.
  private func need(forgettingSegments: Bool) throws -> MemoryAccount.Need? {
    do {
      return try ExecutionContext.trial {
        var run = try EvaluationRun(EvaluationTrial(of: self), of: self)
        run.forgetsSegments = forgettingSegments
        try run.runStages()
        return run.memory.need
      }
    } catch let error as CoixError {
      guard case .memory = error else { return nil }
      throw error
    } catch {
      return nil
    }
  }
}
