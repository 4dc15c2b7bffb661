import CoixParallel

/// Runs `program` with latent values taken from the weighted samples of a finished evaluation: the posterior
/// predictive.
///
/// Each latent site of `program` that the evaluation has too takes the value of a particle; the others are
/// drawn, given those. By default the particles are first resampled in proportion to their weights, and so
/// count equally.
///
/// **Weight.** What `program` observes: log Z is then the log posterior predictive density of those data,
/// which NumPyro's `Predictive` leaves to the user. Without observations the weights are equal, and log Z is
/// 0.
///
/// ```swift
/// let posterior = try evaluate(propose(particles(model), particles(proposal)), seed: 0)()
/// let draws = try evaluate(predictive(particles(newPoint), from: posterior), seed: 1)(x)
/// ```
///
/// - Parameters:
///   - program: a kernel, model or target, in the plates of the evaluation.
///   - evaluation: has kept its trace (``EvaluationOptions/keep``), and has at least one latent site in
///     common with `program`.
///   - resampled: whether the particles are drawn anew first. If not, they keep their weights.
public func predictive<I, O>(
  _ program: some TargetProgram<I, O>, from evaluation: Evaluation<some TensorTree>, resampled: Bool = true
) -> Inference<I, O> {
  Inference(
    node: ProgramNode(
      emitter: PredictiveEmitter(
        program: program.node, samples: EmpiricalEmitter(evaluation, isNormalized: true),
        isResampled: resampled)))
}

struct PredictiveEmitter: ProgramEmitter {
  let program: ProgramNode
  let samples: EmpiricalEmitter
  let isResampled: Bool
  var programs: [ProgramNode] { [program] }

  func emit(into code: inout StageCode, _ place: Place) throws {
    let posterior = code.makeScope()
    let scope = code.makeScope()
    let input = code.copy(place.input)
    let replayed = ProgramNode(emitter: samples)
    code.appendBookkeeping { try $0.open(posterior, from: place.scope) }
    code.run(
      isResampled
        ? ProgramNode(
          emitter: ResampleEmitter(program: replayed, count: .same, scheme: .systematic, condition: .always))
        : replayed,
      Place(input: input, scope: posterior))
    code.then { code in
      code.discard(code.output)
      code.append { machine in
        let sites = try machine.recorder(posterior).sites.filter { !$0.isObserved }
        try machine.open(scope, from: place.scope, given: sites)
      }
      code.run(
        program,
        Place(input: place.input, scope: scope, treatment: place.treatment.within))
      code.then { code in
        code.append { machine in
          try machine.finishPrediction(scope, posterior, isResampled: isResampled, into: place)
        }
        code.free(scope)
        code.free(posterior)
      }
    }
  }

  func outline() -> ProgramOutline { ProgramOutline("predictive", [.init(program)]) }
}

extension Machine {
  /// Hands on what a program has made of samples.
  fileprivate func finishPrediction(_ scope: Scope, _ posterior: Scope, isResampled: Bool, into place: Place)
    throws
  {
    let sites = try finishedTrace(scope).sites
    let samples = try recorder(posterior)
    guard sites.contains(where: \.isGiven) else {
      throw CoixError.illFormedProgram(
        "predictive: no latent site of the program is one of the samples', so that it would run on none of them; the program has "
          + "\(sites.filter { !$0.isObserved }.map(\.name).listed), the samples "
          + "\(samples.sites.filter { !$0.isObserved }.map(\.name).listed)")
    }
    var metrics = RunningMetrics()
    let observed = sum(sites) { $0.isObserved }
    let incoming = isResampled ? nil : samples.metrics?.logWeight.map { local($0) }
    let weight =
      switch (incoming, observed) {
      case (let incoming?, let observed?): incoming + observed
      case (let incoming?, nil): incoming
      case (nil, let observed): observed ?? Tensor(0)
      }
    metrics.logWeight = weight
    metrics.weightTerms = weightTerms(sites) { $0.isObserved }
    if hasParticles { metrics.summarize(weight) }
    metrics.logDensity = .pending(sum(sites) ?? Tensor(0))
    close(scope)
    close(posterior)
    try replay(sites, metrics, into: place.scope, place.treatment)
    try checkFailure()
  }
}

extension AnyProgram {
  /// Runs `program` with latent values from a finished evaluation; see ``predictive(_:from:resampled:)``.
  ///
  /// - Throws: `CoixError.illFormedProgram(_:)` for an inference program.
  public static func predictive(
    _ program: AnyProgram, from evaluation: Evaluation<[Tensor]>, resampled: Bool = true
  ) throws -> AnyProgram {
    try program.requireDensity(for: "predictive")
    return AnyProgram(
      PredictiveEmitter(
        program: program.node, samples: EmpiricalEmitter(evaluation, isNormalized: true),
        isResampled: resampled),
      .inference)
  }
}
