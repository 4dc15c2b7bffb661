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
    try code.require(place.treatment.plates + plates)
    if !hasParticles && !plates.isEmpty { code.dropParticles() }
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
      var running = metrics.running
      running.logWeight = metrics.logWeight.mapped(over: plates)
      try machine.replay(sites, running, into: place.scope, place.treatment)
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

extension AnyProgram {
  /// The program that replays a finished evaluation; see ``empirical(_:)``.
  public static func empirical(_ evaluation: Evaluation<[Tensor]>) -> AnyProgram {
    AnyProgram(EmpiricalEmitter(evaluation), .inference)
  }
}
