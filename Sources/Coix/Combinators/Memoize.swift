import CoixParallel

/// Proposes with samples from memory besides fresh ones, and keeps the best of both.
///
/// 1. `proposal` runs, and each of its latent values is joined to those that `memory` has for the site, which come first.
/// 2. `target` runs at these values. It stands in a plate of as many particles as memory and proposal have together.
/// 3. For each instance, of particles whose latent values are all the same the first is kept; of these the `size` best by their joint
///    log-probability, best first.
///
/// The log-weight is that joint log-probability: the result is an enumeration of the posterior's modes, not a sample. Where fewer
/// than `size` particles differ, the best one fills the rest, with log-weight -inf. The result has the target's output, its
/// latent sites, the proposal's other metrics, and the values kept in ``Metrics/memory``, for the next round. Hewitt, Le and
/// Tenenbaum, "Learning to learn generative programs with memoised wake-sleep", 2020.
///
/// - Parameters:
///   - target: what the values are kept for.
///   - proposal: what draws fresh ones.
///   - memory: for each latent site of the proposal its values, `[samples, instances…, event…]`; empty at first.
///   - size: how many particles to keep; by default as many as the memory has.
/// - Returns: an inference program whose evaluation throws `CoixError.argument(_:)` without a size, or if `memory` does not fit.
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
    let plates = Handlers(plates: place.handlers.plates)
    let input = code.copy(place.input)
    code.append { try $0.open(scope, from: place.scope) }
    code.run(proposal, Place(input: input, scope: scope, handlers: plates))
    code.then { code in
      code.discard(code.output)
      guard let fresh = code.particleCount else {
        throw CoixError.illFormedProgram("memoize: the proposal has no particle axis")
      }
      let (particles, overflow) = stored.addingReportingOverflow(fresh)
      guard !overflow else { throw CoixError.memory(what: "memoize: memory and proposal", bytes: .max) }
      code.appendBarrier(.exactly(particles)) { machine, barrier in
        try machine.join(memory, stored, to: scope, barrier)
      }
      let joined = code.makeScope()
      code.append { machine in
        try machine.open(joined, from: place.scope, given: try machine.recorder(scope).sites)
      }
      code.run(target, Place(input: place.input, scope: joined, handlers: plates))
      code.then { code in emitChoice(of: kept, into: &code, place, proposal: scope, joined) }
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
      metrics.forgottenDraws = 0
      metrics.weightTerms = machine.weightTerms(sites)
      recorder.metrics = metrics
      recorder.replaceSites { $0 = sites.filter { !$0.isObserved } }
      machine.close(proposal)
    }
    code.appendBarrier(.exactly(count)) { machine, barrier in
      try machine.keepBest(count, output, joined, barrier)
    }
    code.appendBookkeeping { machine in
      let recorder = try machine.recorder(joined)
      machine.close(joined)
      try machine.replay(
        recorder.sites, recorder.metrics ?? RunningMetrics(), into: place.scope, place.handlers)
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
    var trace = try finishedTrace(scope)
    trace.sites.removeAll(where: \.isObserved)
    if let unknown = memory.keys.sorted().first(where: { trace[$0] == nil }) {
      throw CoixError.site(
        name: unknown, reason: "there are samples in memory, but the proposal has no such latent site")
    }
    for index in trace.sites.indices {
      let site = trace.sites[index]
      var values = barrier.wholePlate(site.value)
      if stored > 0 {
        guard let samples = memory[site.name] else {
          throw CoixError.site(name: site.name, reason: "there are no samples in memory")
        }
        let expected = Shape([stored]).appending(values.shape.dropping(1))
        guard samples.shape == expected else {
          throw CoixError.site(
            name: site.name, reason: "the samples in memory have shape \(samples.shape), not \(expected)")
        }
        values = try Tensor.concatenate([samples, values], axis: 0).validated()
      }
      let rows = values.shape[0] * barrier.instances
      trace.sites[index].value = values.reshaped(to: Shape([rows]).appending(site.value.shape)).mapped(
        plate: barrier.plateName)
      trace.sites[index].logProb = Tensor(0)
    }
    recorder.replaceSites { $0 = trace.sites }
  }

  /// At the barrier: keeps the particles that differ and have the greatest weights.
  fileprivate func keepBest(_ count: Int, _ output: Register, _ scope: Scope, _ barrier: BarrierContext)
    throws
  {
    let recorder = try recorder(scope)
    guard var metrics = recorder.metrics, let weights = metrics.logWeight else {
      throw CoixError.illFormedProgram("memoize: the target left no weights")
    }
    let logWeights = barrier.wholePlate(weights)
    let values = recorder.sites.map { barrier.wholePlate($0.value) }
    let choice = try barrier.namingSites(of: metrics.weightTerms) {
      try BestParticles(count, logWeights: logWeights, values: values, barrier)
    }
    let gather = RowGather(RowIndex(choice.rows), plate: barrier.plateName)
    try self.gather(output, scope) { gather($0) }
    let kept = gather(logWeights.reshaped(to: [barrier.rows]).mapped(plate: barrier.plateName)).unmapped()
    gather.finish()
    let filled = select(Tensor(choice.isFilled.map { $0 ? 1 : 0 }), Tensor(-.infinity), kept)
    metrics.logWeight = filled.mapped(plate: barrier.plateName)
    metrics.weightTerms = []
    let plates = [count] + barrier.batch.dropFirst()
    metrics.memory = Dictionary(
      uniqueKeysWithValues: try recorder.sites.map { site in
        let rows = try site.value.unmapped().validated()
        return (site.name, rows.reshaped(to: Shape(plates).appending(site.value.shape)).detached)
      })
    recorder.metrics = metrics
  }
}

/// The rows of the particles that are kept, for each instance.
private struct BestParticles {
  /// `[count, instances]`, row-major; counted in `[particles, instances]`.
  private(set) var rows: [Int32]
  /// Whether a row only fills up.
  private(set) var isFilled: [Bool]

  init(_ count: Int, logWeights: Tensor, values: [Tensor], _ barrier: BarrierContext) throws {
    let (particles, instances) = (barrier.particles, barrier.instances)
    // An index and whether it fills up, both twice.
    try RowIndex.check(Swift.max(count, particles), instances, floats: 4, for: "keeping")
    rows = [Int32](repeating: 0, count: count * instances)
    isFilled = [Bool](repeating: false, count: count * instances)
    let weights = logWeights.scalars
    for instance in 0..<instances {
      let own = (0..<particles).map { $0 * instances + instance }
      if let bad = own.first(where: { weights[$0].isNaN || weights[$0] == .infinity }) {
        throw CoixError.weights(
          step: barrier.step, instance: RowLocation(row: instance),
          reason: "the joint log-probability of particle \(bad / instances) is \(weights[bad])")
      }
      var seen: Set<[Float]> = []
      let different = own.filter { row in
        seen.insert(
          values.flatMap { value in
            let width = value.shape.elementCount / barrier.rows
            return value.withScalars { Array($0[row * width..<(row + 1) * width]) }
          }
        ).inserted
      }
      // Stable, so that of equal weights the first comes first.
      let best = different.enumerated().sorted {
        weights[$0.element] == weights[$1.element]
          ? $0.offset < $1.offset : weights[$0.element] > weights[$1.element]
      }.prefix(count).map(\.element)
      for place in 0..<count {
        rows[place * instances + instance] = Int32(place < best.count ? best[place] : best[0])
        isFilled[place * instances + instance] = place >= best.count
      }
    }
  }
}
