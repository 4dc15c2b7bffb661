import CoixParallel

/// Draws particles anew in proportion to their weights, which are equal afterwards.
///
/// The resampling is over the particle axis, for each instance by itself, and by default systematic (Douc,
/// Cappé and Moulines, "Comparison of resampling schemes for particle filtering", 2005). Each log-weight is
/// then logsumexp(w) - log k. Values and log-probabilities are gathered, and gradients flow through the
/// gather. An unweighted program has equal weights. Without a particle axis nothing happens.
///
/// As in the reference, a change of the number of particles from S to k changes the evidence that the weights
/// stand for by log(S / k).
///
/// Under a condition an instance that does not meet it keeps its particles and their weights. Weights are
/// cumulative, so that in both cases logsumexp(w) - log k is the same before and after, and a further
/// `propose` gives the evidence of all steps, whichever of them resampled. The metric log Z is that of the
/// program that was resampled, or that of its weights. The effective sample size becomes that of the weights
/// as they are afterwards: k, or the mean over instances where some kept theirs. There is none after
/// ``ParticleCount/one``.
///
/// - Parameters:
///   - program: whose particles are drawn from.
///   - count: how many particles to draw, a number or another count. Under a condition, as many as there are.
///   - scheme: how they are drawn.
///   - condition: when they are drawn.
public func resample<I, O>(
  _ program: some InferenceProgram<I, O>, count: ParticleCount = .same,
  scheme: ResamplingScheme = .systematic,
  when condition: ResamplingCondition = .always
) -> Inference<I, O> {
  Inference(
    node: ProgramNode(
      emitter: ResampleEmitter(program: program.node, count: count, scheme: scheme, condition: condition)))
}

/// The same, to a number of particles.
@_documentation(visibility: internal)  // so that links to resample mean the one above
public func resample<I, O>(
  _ program: some InferenceProgram<I, O>, count: Int, scheme: ResamplingScheme = .systematic,
  when condition: ResamplingCondition = .always
) -> Inference<I, O> {
  resample(program, count: .exactly(count), scheme: scheme, when: condition)
}

struct ResampleEmitter: ProgramEmitter {
  let program: ProgramNode
  let count: ParticleCount
  let scheme: ResamplingScheme
  let condition: ResamplingCondition
  var programs: [ProgramNode] { [program] }

  func emit(into code: inout StageCode, _ place: Place) throws {
    if case .exactly(let count) = count, count < 1 {
      throw CoixError.argument("resample: the number of particles must be at least 1, is \(count)")
    }
    try condition.validate(for: count)
    let (scope, treatment, reader) = (place.scope, place.treatment, place.reader)
    let inner = code.makeScope()
    code.appendBookkeeping { machine in
      machine.keys[inner] = try machine.recorder(scope).stream.next()
      try machine.open(inner, from: scope)
    }
    code.run(
      program,
      Place(
        input: place.input, scope: inner, reader: reader, treatment: treatment.within))
    code.then { code in
      code.append { machine in
        try machine.completeWeight(of: inner)
        try machine.recorder(inner).recorded.finish(sorting: machine.hasParticles)
        try machine.dropUnread(inner, reader)
      }
      if code.hasParticles {
        let output = code.output
        let number = code.nextNumber(of: .resample)
        let count: ParticleCount =
          if case .exactly(let count) = count { .exactly(code.cut(count)) } else { count }
        code.appendBarrier(count) { machine, barrier in
          try resample(machine, barrier, to: count, output, inner, number)
        }
      }
      code.appendBookkeeping { machine in
        let recorder = try machine.recorder(inner)
        machine.close(inner)
        try machine.replay(recorder, into: scope, treatment)
        try machine.checkFailure()
      }
      code.free(inner)
    }
  }

  func outline() -> ProgramOutline {
    var title = "resample"
    switch count {
    case .same: break
    case .exactly(let count): title += ", count: \(count)"
    case .one: title += ", count: one"
    }
    if scheme != .systematic { title += ", \(scheme.rawValue)" }
    if case .ess(let fraction) = condition { title += ", when ESS below \(fraction)" }
    return ProgramOutline(title, [.init(program)])
  }

  /// At the barrier: chooses ancestors, and has everything that came out of the program read by them from now
  /// on.
  private func resample(
    _ machine: Machine, _ barrier: BarrierContext, to count: ParticleCount, _ output: Register,
    _ scope: Scope, _ number: Int
  ) throws {
    let recorder = try machine.recorder(scope)
    guard var metrics = recorder.metrics, let key = machine.keys.removeValue(forKey: scope),
      let weights = metrics.logWeight
    else { throw CoixError.illFormedProgram("resample: the program left no weights") }
    let population = barrier.population
    let isSingle = if case .one = count { true } else { false }
    let count = count.resolved(population.particles)
    let logWeights = population.logWeights(weights)
    let logMeans = try logWeights.logMeans(count)
    // Whether a condition will be met is not known before. A trial counts what there may be: new ancestors, and the
    // weights before.
    let isUnknown = barrier.trial != nil && condition != .always
    let isMet = try barrier.namingSites(of: metrics.weightTerms) {
      try (isUnknown ? .always : condition).isMet(by: logWeights)
    }

    if isMet.contains(true) {
      // Who is not drawn anew goes on as its own child.
      let ancestors = try barrier.namingSites(of: metrics.weightTerms) {
        try logWeights.ancestors(scheme, key: key, count: count, where: isMet)
      }
      try barrier.memory.hold(ancestors, of: barrier.trial)
      metrics.weightTerms = []
      let gather = population.gather(ancestors)
      func drawn(_ tensor: Tensor) -> Tensor {
        let gathered = gather(tensor)
        // A single particle outside of all plates is no row of anything.
        return isSingle && population.instances == 1 && gathered.isMapped
          ? gathered.unmapped().reshaped(to: tensor.shape) : gathered
      }
      if isSingle {
        try machine.gather(output, scope, drawn)
      } else {
        try machine.gatherRecent(output, scope, drawn)
        recorder.recorded.moveToPast(gatheringEarlier: gather)
      }
      metrics.forgottenDensity = metrics.forgottenDensity.map(drawn)
      try gather.finish()
    } else {
      recorder.recorded.moveToPast(gatheringEarlier: nil)
    }

    if !isMet.contains(false) && !isUnknown {
      metrics.logWeight = try population.spread(logMeans, over: count)
      metrics.ess = isSingle ? nil : .value(Tensor(Float(count)))
    } else {
      if isMet.contains(true) && !isUnknown {
        metrics.logWeight = logWeights.replaced(by: logMeans, where: isMet)
      }
      metrics.ess = .value(try population.logWeights(metrics.logWeight ?? weights).summary().ess)
    }
    if metrics.logZ == nil { metrics.logZ = .value(logMeans.sum()) }
    if machine.reportsSteps {
      metrics.steps.append(
        .done(
          StepMetrics(
            kind: .resample, number: number, stage: barrier.stage, incrementalESS: nil,
            ess: metrics.ess?.tensor.scalar, logZ: metrics.logZ?.tensor.scalar ?? .nan)))
    }
    recorder.metrics = metrics
  }
}

extension AnyProgram {
  /// Resamples; see ``resample(_:count:scheme:when:)``.
  public static func resample(
    _ program: AnyProgram, count: ParticleCount = .same, scheme: ResamplingScheme = .systematic,
    when condition: ResamplingCondition = .always
  ) -> AnyProgram {
    AnyProgram(
      ResampleEmitter(program: program.node, count: count, scheme: scheme, condition: condition), .inference)
  }

  /// The same, to a number of particles.
  public static func resample(
    _ program: AnyProgram, count: Int, scheme: ResamplingScheme = .systematic,
    when condition: ResamplingCondition = .always
  ) -> AnyProgram {
    resample(program, count: .exactly(count), scheme: scheme, when: condition)
  }
}
