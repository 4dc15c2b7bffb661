import CoixParallel

/// Draws particles anew in proportion to their weights, which are equal afterwards.
///
/// Systematic resampling over the particle axis, for each instance by itself (Douc, Cappé and Moulines, "Comparison of
/// resampling schemes for particle filtering", 2005). Each log-weight is then logsumexp(w) - log k. Values and log-probabilities
/// are gathered, and gradients flow through the gather. An unweighted program has equal weights. Without a particle axis
/// nothing happens.
///
/// - Parameter count: how many particles to draw.
public func resample<I, O>(_ program: some InferenceProgram<I, O>, count: ParticleCount = .same) -> Inference<
  I, O
> {
  Inference(node: ProgramNode(emitter: ResampleEmitter(program: program.node, count: count)))
}

/// How many particles ``resample(_:count:)`` draws.
public enum ParticleCount: Sendable, ExpressibleByIntegerLiteral {
  /// As many as there are.
  case same
  /// This many.
  case exactly(Int)
  /// One, without a particle axis: what comes after it stands in the instances' plates alone.
  case one

  /// This many.
  public init(integerLiteral count: Int) { self = .exactly(count) }

  func resolved(_ particles: Int) -> Int {
    switch self {
    case .same: particles
    case .exactly(let count): count
    case .one: 1
    }
  }
}

struct ResampleEmitter: ProgramEmitter {
  let program: ProgramNode
  let count: ParticleCount

  func emit(into code: inout StageCode, _ place: Place) throws {
    if case .exactly(let count) = count, count < 1 {
      throw CoixError.argument("resample: the number of particles must be at least 1, is \(count)")
    }
    let (scope, handlers) = (place.scope, place.handlers)
    let inner = code.makeScope()
    code.appendBookkeeping { machine in
      machine.keys[inner] = try machine.recorder(scope).stream.next()
      try machine.open(inner, from: scope)
    }
    code.run(
      program, Place(input: place.input, scope: inner, handlers: Handlers(plates: handlers.plates)))
    code.then { code in
      code.append { machine in
        let recorder = try machine.recorder(inner)
        var metrics = recorder.metrics ?? RunningMetrics()
        let trace = try machine.finishedTrace(inner)
        metrics.logWeight = machine.logWeight(metrics, trace.sites) ?? Tensor(0)
        recorder.metrics = metrics
        recorder.replaceSites {
          $0 = machine.isPlated ? trace.sites.sorted { $0.name < $1.name } : trace.sites
        }
      }
      if code.isPlated {
        let output = code.output
        code.appendBarrier(count) { machine, barrier in
          try resample(machine, barrier, output, inner)
        }
      }
      code.appendBookkeeping { machine in
        let recorder = try machine.recorder(inner)
        machine.close(inner)
        try machine.replay(recorder.sites, recorder.metrics ?? RunningMetrics(), into: scope, handlers)
        try machine.checkFailure()
      }
      code.free(inner)
    }
  }

  /// At the barrier: chooses ancestors, and has everything that came out of the program read by them from now on.
  private func resample(_ machine: Machine, _ barrier: BarrierContext, _ output: Register, _ scope: Scope)
    throws
  {
    let recorder = try machine.recorder(scope)
    guard var metrics = recorder.metrics, let key = machine.keys.removeValue(forKey: scope),
      let weights = metrics.logWeight
    else { throw CoixError.illFormedProgram("resample: the program left no weights") }
    let count = self.count.resolved(barrier.particles)
    let isSingle = if case .one = self.count { true } else { false }
    let instances = barrier.instances
    let logWeights = barrier.wholePlate(weights).reshaped(to: [barrier.particles, instances])
    let uniforms = Draw(key: key, shape: [instances]).uniform()
    let index = RowIndex(
      try systematicAncestors(
        logWeights: logWeights, uniforms: uniforms, count: count, step: "step \(barrier.stage)",
        workers: barrier.workers))
    try machine.gather(output, scope) { tensor in
      let gathered = tensor.gathered(by: index, plate: barrier.plateName)
      // A single particle outside of all plates is no row of anything.
      return isSingle && instances == 1 && gathered.isMapped
        ? gathered.unmapped().reshaped(to: tensor.shape) : gathered
    }

    let logSum = logWeights.logSumExp(axis: 0) - Tensor(Float(count)).logarithm
    metrics.logWeight =
      instances == 1
      ? logSum.reshaped(to: .scalar)
      : logSum.mapped(
        plate: barrier.plateName, index: RowIndex((0..<count * instances).map { Int32($0 % instances) }))
    metrics.ess = isSingle ? nil : .value(Tensor(Float(count)))
    if metrics.logZ == nil { metrics.logZ = .value(logSum.sum()) }
    recorder.metrics = metrics
  }
}

extension Tensor {
  fileprivate var logarithm: Tensor { log(self) }
}
