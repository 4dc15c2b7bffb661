import CoixParallel

/// Proposes with samples from memory besides fresh ones, and keeps the best of both.
///
/// 1. `proposal` runs, and each of its latent values is joined to those that `memory` has for the site, which
///    come first.
/// 2. `target` runs at these values. It stands in a plate of as many particles as memory and proposal have
///    together.
/// 3. For each instance, particles whose latent values are all the same count as one, the first of them. Of
///    the rest, the `size` particles with the greatest joint log-probability are kept, the best first.
///
/// The log-weight is that joint log-probability: the result lists modes of the posterior, and is not a sample
/// of it. If fewer than `size` particles differ, copies of the best one with log-weight -inf fill the
/// remaining places. The result has the target's output, its latent sites, the proposal's other metrics, and
/// in ``Metrics/memory`` the values that were kept, for the next round. Hewitt, Le and Tenenbaum, "Learning
/// to learn generative programs with memoised wake-sleep", 2020.
///
/// - Parameters:
///   - target: what the values are kept for.
///   - proposal: what draws fresh ones.
///   - memory: for each latent site of the proposal its values, `[samples, instances…, event…]`; empty at
///     first.
///   - size: how many particles to keep; by default as many as the memory has.
/// - Returns: an inference program whose evaluation throws `CoixError.argument(_:)` without a size, or if
///   `memory` does not fit.
public func memoize<I, O>(
  _ target: some TargetProgram<I, O>, _ proposal: some InferenceProgram<I, some TensorTree>,
  memory: [String: Tensor] = [:], size: Int? = nil
) -> Inference<I, O> {
  Inference(
    node: ProgramNode(
      emitter: MemoizeEmitter(target: target.node, proposal: proposal.node, memory: memory, size: size)))
}

struct MemoizeEmitter: ProgramEmitter {
  let target: ProgramNode
  let proposal: ProgramNode
  let memory: [String: Tensor]
  let size: Int?

  var programs: [ProgramNode] { [target, proposal] }

  func emit(into code: inout StageCode, _ place: Place) throws {
    for (site, samples) in memory.sorted(by: { $0.key < $1.key }) {
      guard try samples.validated().shape.rank > 0, !samples.isBatched, !samples.isMapped else {
        throw CoixError.site(
          name: site,
          reason: "memory needs samples on its first axis, not mapped; its shape is \(samples.shape)")
      }
    }
    let sizes = Set(memory.values.map { $0.shape[0] })
    guard sizes.count <= 1 else {
      throw CoixError.argument(
        "memoize: all sites need equally many samples in memory, found \(sizes.sorted())")
    }
    let stored = sizes.first ?? 0
    guard let kept = size ?? sizes.first, kept >= 1 else {
      throw CoixError.argument("memoize: needs a memory, or a size of at least 1")
    }
    let scope = code.makeScope()
    let within = place.treatment.within
    let input = code.copy(place.input)
    code.append { try $0.open(scope, from: place.scope) }
    code.run(proposal, Place(input: input, scope: scope, treatment: within))
    code.then { code in
      code.discard(code.output)
      guard let fresh = code.particleCount else {
        throw CoixError.illFormedProgram("memoize: the proposal has no particle axis")
      }
      let (all, overflow) = stored.addingReportingOverflow(fresh)
      guard !overflow else { throw CoixError.memory(what: "memoize: memory and proposal", bytes: .max) }
      let particles = code.cut(all)
      code.appendBarrier(.exactly(particles)) { machine, barrier in
        try machine.join(memory, particles - fresh, to: scope, barrier)
      }
      let joined = code.makeScope()
      code.append { machine in
        try machine.open(joined, from: place.scope, given: try machine.recorder(scope).sites)
      }
      code.run(target, Place(input: place.input, scope: joined, treatment: within))
      code.then { code in emitChoice(of: code.cut(kept), into: &code, place, proposal: scope, joined) }
    }
  }

  func outline() -> ProgramOutline {
    ProgramOutline("memoize", [.init(target, "target"), .init(proposal, "proposal")])
  }

  /// Keeps the best of the particles that the target has run on, and hands them on.
  private func emitChoice(
    of count: Int, into code: inout StageCode, _ place: Place, proposal: Scope, _ joined: Scope
  ) {
    let output = code.output
    code.append { machine in
      let recorder = try machine.recorder(joined)
      var metrics = try machine.recorder(proposal).metrics ?? RunningMetrics()
      let sites = try machine.finishedTrace(joined).sites
      metrics.logWeight = machine.sum(sites) ?? Tensor(0)
      (metrics.forgottenDraws, metrics.forgottenDensity) = (0, nil)
      metrics.weightTerms = machine.weightTerms(sites)
      recorder.metrics = metrics
      recorder.recorded.replace { $0 = sites.filter { !$0.isObserved } }
      machine.close(proposal)
    }
    code.appendBarrier(.exactly(count)) { machine, barrier in
      try machine.keepBest(count, output, joined, barrier)
    }
    code.appendBookkeeping { machine in
      let recorder = try machine.recorder(joined)
      machine.close(joined)
      try machine.replay(
        recorder.sites, recorder.metrics ?? RunningMetrics(), into: place.scope, place.treatment)
      try machine.checkFailure()
    }
    code.free(proposal)
    code.free(joined)
    code.output = output
  }
}

extension Machine {
  /// At the barrier: the latent values of a program that has run, behind those from memory.
  fileprivate func join(
    _ memory: [String: Tensor], _ stored: Int, to scope: Scope, _ barrier: BarrierContext
  ) throws {
    let recorder = try recorder(scope)
    let population = barrier.population
    var trace = try finishedTrace(scope)
    trace.sites.removeAll(where: \.isObserved)
    if let unknown = memory.keys.sorted().first(where: { trace[$0] == nil }) {
      throw CoixError.site(
        name: unknown, reason: "there are samples in memory, but the proposal has no such latent site")
    }
    for index in trace.sites.indices {
      let site = trace.sites[index]
      var values = population.whole(site.value)
      if stored > 0 {
        guard let samples = memory[site.name] else {
          throw CoixError.site(name: site.name, reason: "there are no samples in memory")
        }
        let expected = population.shape(of: values, particles: stored)
        guard samples.shape == expected else {
          throw CoixError.site(
            name: site.name, reason: "the samples in memory have shape \(samples.shape), not \(expected)")
        }
        values = try population.joining(samples, to: values).validated()
      }
      trace.sites[index].value = population.read(values, particles: stored + population.particles)
      trace.sites[index].logProb = Tensor(0)
    }
    recorder.recorded.replace { $0 = trace.sites }
  }

  /// At the barrier: keeps the particles that differ and have the greatest weights.
  fileprivate func keepBest(_ count: Int, _ output: Register, _ scope: Scope, _ barrier: BarrierContext)
    throws
  {
    let recorder = try recorder(scope)
    guard var metrics = recorder.metrics, let weights = metrics.logWeight else {
      throw CoixError.illFormedProgram("memoize: the target left no weights")
    }
    let population = barrier.population
    let logWeights = population.logWeights(weights)
    let values = recorder.sites.map { population.whole($0.value) }
    let best = try barrier.namingSites(of: metrics.weightTerms) {
      try BestParticles(count, logWeights: logWeights, values: values)
    }
    let gather = population.gather(
      try Ancestors(count: count, of: population) { Int(best.particles[$0 * population.instances + $1]) })
    try self.gather(output, scope) { gather($0) }
    let kept = population.resized(to: count)
    let keptWeights = kept.whole(gather(population.read(logWeights.tensor)))
    try gather.finish()
    let isFilled = Tensor(best.isFilled.map { $0 ? 1 : 0 }, shape: keptWeights.shape)
    metrics.logWeight = kept.read(select(isFilled, Tensor(-.infinity), keptWeights))
    metrics.weightTerms = []
    metrics.memory = Dictionary(
      uniqueKeysWithValues: try recorder.sites.map {
        ($0.name, try kept.whole($0.value).validated().detached)
      })
    recorder.metrics = metrics
  }
}

/// The particles that are kept, for each instance.
private struct BestParticles {
  /// `[count, instances]`, row-major.
  let particles: Numbers<Int32>
  /// Whether a particle only fills up.
  private(set) var isFilled: [Bool]

  init(_ count: Int, logWeights: LogWeights, values: [Tensor]) throws {
    let population = logWeights.population
    let instances = population.instances
    // Numbers and whether they fill up, both twice; of one instance's particles the values, as arrays.
    try population.check(Swift.max(count, population.particles), floats: 4, for: "keeping")
    let width = values.reduce(0) { $0 + $1.shape.elementCount / population.rows }
    try Memory.require(
      population.particles, of: UInt8.self, each: 4 * width + 64,
      for: "comparing \(population.particles) particles")
    particles = try Numbers(count: count * instances, for: "keeping \(count) particles")
    isFilled = [Bool](repeating: false, count: count * instances)
    for instance in 0..<instances {
      let weights = try logWeights.logWeights(of: instance)
      if let bad = weights.firstIndex(where: { $0.isNaN || $0 == .infinity }) {
        throw CoixError.weights(
          instance: RowLocation(row: instance),
          reason: "the joint log-probability of particle \(bad) is \(weights[bad])")
      }
      var seen: Set<[Float]> = []
      let different = weights.indices.filter { particle in
        seen.insert(values.flatMap { population.event(of: particle, instance, in: $0) }).inserted
      }
      // Stable, so that of equal weights the first comes first.
      let best = different.enumerated().sorted {
        weights[$0.element] == weights[$1.element]
          ? $0.offset < $1.offset : weights[$0.element] > weights[$1.element]
      }.prefix(count).map(\.element)
      for place in 0..<count {
        particles[place * instances + instance] = Int32(place < best.count ? best[place] : best[0])
        isFilled[place * instances + instance] = place >= best.count
      }
    }
  }
}

extension AnyProgram {
  /// Proposes with samples from memory besides fresh ones; see ``memoize(_:_:memory:size:)``.
  ///
  /// - Throws: `CoixError.illFormedProgram(_:)` if the target is an inference program.
  public static func memoize(
    _ target: AnyProgram, _ proposal: AnyProgram, memory: [String: Tensor] = [:], size: Int? = nil
  ) throws -> AnyProgram {
    try target.requireDensity(for: "memoize")
    return AnyProgram(
      MemoizeEmitter(target: target.node, proposal: proposal.node, memory: memory, size: size), .inference)
  }
}
