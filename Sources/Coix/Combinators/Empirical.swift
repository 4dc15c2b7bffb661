import CoixParallel

/// The program that replays a finished evaluation: its output, its sites with their log-probabilities, its metrics.
///
/// It takes any input and ignores it. All of a latent site's probability is at the value that it has, so that at another, given, value
/// its log-probability is -inf. Its weights are those of the evaluation: resample it, compose further kernels onto it, propose from
/// it. What the evaluation did not keep (``EvaluationOptions/keep``) cannot be replayed, which is an error then.
public func empirical<I: TensorTree, O>(_ evaluation: Evaluation<O>) -> Inference<I, O> {
  Inference(node: ProgramNode(emitter: EmpiricalEmitter(evaluation)))
}

struct EmpiricalEmitter: ProgramEmitter {
  private let plates: [Plate]
  private let hasParticles: Bool
  private let isWhole: Bool
  private let output: Value
  private let sites: [Site]
  private let metrics: Metrics

  var programs: [ProgramNode] { [] }

  init(_ evaluation: Evaluation<some TensorTree>) {
    plates = evaluation.plates
    hasParticles = evaluation.hasParticles
    isWhole = evaluation.keep == .everything
    output = Typed(evaluation.output)
    sites = evaluation.trace.sites
    metrics = evaluation.metrics
  }

  func emit(into code: inout StageCode, _ place: Place) throws {
    guard isWhole else {
      throw CoixError.illFormedProgram("empirical: the evaluation has not kept its output and trace")
    }
    try code.require(place.handlers.plates + plates)
    if !hasParticles { code.dropParticles() }
    code.discard(place.input)
    let register = code.makeRegister()
    let population = Population(
      batch: plates.map(\.count), hasParticles: hasParticles, plate: plates.first?.name ?? "", step: nil,
      workers: .standard)
    code.appendBookkeeping { machine in
      machine.set(register, try output.mapTensors { population.read($0) }, isLocal: false)
      let sites = sites.map { site in
        var site = site
        site.value = population.read(site.value)
        site.logProb = population.read(site.logProb)
        return site
      }
      var running = RunningMetrics()
      running.logWeight = population.read(metrics.logWeight)
      running.ess = metrics.ess.map { .value($0) }
      running.logZ = metrics.logZ.map { .value($0) }
      running.logDensity = metrics.logDensity.map { .value($0) }
      running.loss = metrics.loss
      running.memory = metrics.memory
      try machine.replay(sites, running, into: place.scope, place.handlers)
      try machine.checkFailure()
    }
    code.output = register
  }

  func outline() -> ProgramOutline { ProgramOutline("empirical") }
}
