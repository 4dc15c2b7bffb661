import CoixParallel

/// Whether every evaluation is one with checks, whatever its options say: so a loss, whose evaluations have options of
/// their own, can be asked what is wrong with it.
enum ForcedChecks {
  @TaskLocal static var areOn = false
}

/// All that an evaluation depends on.
struct EvaluationSettings {
  let program: ProgramNode
  /// The program's input; tensors may be mapped over plates.
  let input: Value
  /// Values for latent sites, by name.
  let latents: [String: Tensor]
  let key: PRNGKey
  var options = EvaluationOptions()
  /// In an enumeration, which values the latent sites take.
  var path: SupportPath?
  /// Whether the terms of each log-weight are kept, one for each site, so that an error in the weights can
  /// name a site. This takes memory, so that only an evaluation that has failed is run again with it.
  var keepsWeightTerms = false

  /// Whether what the program computes in one chunk may be replayed on others. Checks look at the numbers of
  /// each chunk while the program runs.
  var isRecorded: Bool {
    options.execution == .replayed && !options.checks && !keepsWeightTerms && path == nil
  }

  /// Runs the program.
  ///
  /// - Returns: what it leaves behind, and the path, with the turns that the run has taken.
  func evaluate<Output: TensorTree>() throws -> (evaluation: Evaluation<Output>, path: SupportPath?) {
    if ForcedChecks.areOn, !options.checks {
      var checked = self
      checked.options.checks = true
      return try checked.evaluate()
    }
    guard ExecutionContext.current?.isCaller ?? true else {
      throw CoixError.illFormedProgram(
        "a program cannot be evaluated within a program's closure; use the combinators")
    }
    if ExecutionContext.current != nil { return try explained() }
    let caller = ExecutionContext.caller(team: options.workers.team)
    return try caller.withCurrent {
      let result: (Evaluation<Output>, SupportPath?) = try explained()
      try caller.throwFailure()
      return result
    }
  }

  /// Runs the program; if the weights of an instance have no meaning, runs it once more to find the site that
  /// is to blame.
  private func explained<Output: TensorTree>() throws -> (Evaluation<Output>, SupportPath?) {
    do {
      return try run()
    } catch let error as CoixError {
      guard case .weights = error else { throw error }
      var explaining = self
      explaining.keepsWeightTerms = true
      do {
        return try explaining.run()
      } catch let explained as CoixError {
        switch explained {
        case .atSite(_, .weights), .parameter, .notANumber: throw explained
        default: throw error
        }
      }
    }
  }

  private func run<Output: TensorTree>() throws -> (Evaluation<Output>, SupportPath?) {
    try options.workers.ranks.evaluating(with: key) { () throws -> (Evaluation<Output>, SupportPath?) in
      var run = try EvaluationRun(self)
      try run.runStages()
      return (try run.result(), try run.path)
    }
  }
}
