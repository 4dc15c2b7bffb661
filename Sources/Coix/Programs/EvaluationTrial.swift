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

  /// A trial takes as long as a chunk of few rows does in each stage. It is made only where the budget would not
  /// do if each row of each stage left 1 KiB behind: few programs leave so much.
  fileprivate static let bytesOfRow = 1024.0
}

extension EvaluationRun {
  /// Throws if what a stage leaves behind will not fit into the memory budget, before any stage runs.
  ///
  /// - Throws: `CoixError.memory(what:bytes:)`; `CoixError.memoryBudget(what:bytes:budget:)`; what ranks throw.
  func requireMemory() throws {
    let stages = code.stages.filter(\.hasRowWork)
    guard trial == nil, stages.count > 1, settings.path == nil, !settings.keepsWeightTerms else { return }
    let ranks = settings.options.workers.ranks
    let rows = stages.reduce(0.0) { $0 + $1.plates.reduce(1.0) { $0 * Double($1.count) } }
    // Another rank may have another budget.
    try ranks.onEach {
      guard rows / Double(ranks.count) * EvaluationTrial.bytesOfRow > Double(memory.budget) else { return }
      do {
        try ExecutionContext.trial {
          var run = try EvaluationRun(EvaluationTrial(of: self), of: self)
          try run.runStages()
        }
      } catch let error as CoixError {
        switch error {
        case .memory, .memoryBudget: throw error
        // The evaluation itself will say so, where it isn't due to the trial's numbers.
        default: break
        }
      } catch {}
    }
  }
}
