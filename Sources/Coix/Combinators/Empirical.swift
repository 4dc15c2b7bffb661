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

  /// - Parameter isNormalized: whether the weights' mean is 1 for each instance, rather than the estimated evidence.
  init(_ evaluation: Evaluation<some TensorTree>, isNormalized: Bool = false) {
    plates = evaluation.plates
    hasParticles = evaluation.hasParticles
    isWhole = evaluation.keep == .everything
    output = Typed(evaluation.output)
    sites = evaluation.trace.sites
    var metrics = evaluation.metrics
    if isNormalized, hasParticles {
      let weights = metrics.logWeight
      metrics.logWeight = weights + log(Tensor(Float(weights.shape[0]))) - weights.logSumExp(axis: 0)
    }
    self.metrics = metrics
  }

  func emit(into code: inout StageCode, _ place: Place) throws {
    guard isWhole else {
      throw CoixError.illFormedProgram("empirical: the evaluation has not kept its output and trace")
    }
    try code.require(place.handlers.plates + plates)
    if !hasParticles { code.dropParticles() }
    code.discard(place.input)
    let register = code.makeRegister()
    code.appendBookkeeping { machine in
      machine.set(register, try output.mapTensors { $0.mapped(over: plates) }, isLocal: false)
      let sites = sites.map { site in
        var site = site
        site.value = site.value.mapped(over: plates)
        site.logProb = site.logProb.mapped(over: plates)
        return site
      }
      var running = RunningMetrics()
      running.logWeight = metrics.logWeight.mapped(over: plates)
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

extension Tensor {
  /// A tensor over plates, `[particles, instances…, event…]`, as programs in them read it.
  fileprivate func mapped(over plates: [Plate]) -> Tensor {
    guard let particles = plates.first else { return self }
    let rows = plates.reduce(1) { $0 * $1.count }
    return reshaped(to: Shape([rows]).appending(shape.dropping(plates.count))).mapped(plate: particles.name)
  }
}
