import CoixParallel

/// The program that replays a finished evaluation: its output, its sites with their log-probabilities, its
/// metrics.
///
/// It takes any input and ignores it. Its weights are those of the evaluation: one may resample it, compose
/// further kernels onto it, or propose from it. All probability of a latent site is at the value that it has:
/// if it is given another one, its log-probability is -inf. To evaluate the program is an error if the
/// evaluation has not kept everything (``EvaluationOptions/keep``).
public func empirical<I: TensorTree, O>(_ evaluation: Evaluation<O>) -> Inference<I, O> {
  Inference(node: ProgramNode(emitter: EmpiricalEmitter(evaluation)))
}

struct EmpiricalEmitter: ProgramEmitter {
  private let plates: [Plate]
  private let hasParticles: Bool
  private let isWhole: Bool
  /// Whether the evaluation's results have all particles' rows.
  private let hasAllRows: Bool
  private let output: Value
  private let sites: [Site]
  private let metrics: RunningMetrics
  private let logWeight: Tensor

  var programs: [ProgramNode] { [] }

  /// - Parameter isNormalized: whether the weights' mean is 1 for each instance, rather than the estimated
  ///   evidence.
  init(_ evaluation: Evaluation<some TensorTree>, isNormalized: Bool = false) {
    plates = evaluation.plates
    hasParticles = evaluation.hasParticles
    isWhole = evaluation.keep == .everything
    hasAllRows = !hasParticles || evaluation.rows.count == plates.first?.count
    output = Typed(evaluation.output)
    sites = evaluation.trace.sites
    metrics = evaluation.metrics.running
    let weights = evaluation.metrics.logWeight
    logWeight =
      isNormalized && hasParticles
      ? weights + log(Tensor(Float(weights.shape[0]))) - weights.logSumExp(axis: 0) : weights
  }

  func emit(into code: inout StageCode, _ place: Place) throws {
    guard isWhole else {
      throw CoixError.illFormedProgram("empirical: the evaluation has not kept its output and trace")
    }
    guard hasAllRows else {
      throw CoixError.illFormedProgram(
        "empirical: the evaluation has this rank's own rows alone; resultRows must be .all")
    }
    let (plates, isTrial) = (plates.map(code.cut), code.isTrial)
    try code.require(place.treatment.plates + plates)
    if !hasParticles && !plates.isEmpty { code.dropParticles() }
    code.discard(place.input)
    let register = code.makeRegister()
    let population = Population(
      batch: plates.map(\.count), hasParticles: hasParticles, plate: plates.first?.name ?? "",
      workers: .standard)
    @Sendable func read(_ tensor: Tensor) -> Tensor {
      isTrial ? population.read(population.standIn(for: tensor)) : population.read(tensor)
    }
    code.appendBookkeeping { machine in
      machine.set(register, try output.mapTensors(read), isLocal: false)
      let sites = sites.map { site in
        var site = site
        site.value = read(site.value)
        site.logProb = read(site.logProb)
        return site
      }
      var running = metrics
      running.logWeight = read(logWeight)
      try machine.replay(sites, running, into: place.scope, place.treatment)
      try machine.checkFailure()
    }
    code.output = register
  }

  func outline() -> ProgramOutline { ProgramOutline("empirical") }
}

extension AnyProgram {
  /// The program that replays a finished evaluation; see ``empirical(_:)``.
  public static func empirical(_ evaluation: Evaluation<[Tensor]>) -> AnyProgram {
    AnyProgram(EmpiricalEmitter(evaluation), .inference)
  }
}
