import CoixParallel

/// Samples from `proposal`, weighted for the density of `target`.
///
/// 1. `proposal` runs.
/// 2. `target` runs on the same input, each latent site that the proposal has too taking the proposal's
///    value.
/// 3. The incremental log-weight is the sum of the target's log-probabilities over sites that are observed or
///    in the proposal's trace, minus the sum of the proposal's over sites that are observed or in the
///    target's trace. The log-weight is the incoming one plus that.
///
/// The result has the target's output, its trace without auxiliary (`_PREV_`) sites, and the metrics log
/// weight, ESS, log Z and log density; with an objective also the loss, added to the proposal's. Stites,
/// Zimmermann et al., "Learning proposals for probabilistic programs with inference combinators", 2021.
///
/// - Parameters:
///   - target: the program with the density that is wanted.
///   - proposal: the program that the values come from.
///   - loss: an objective, to train the target, the proposal or both. With ``Objective/rws``, ``Objective/fkl`` and
///     ``Objective/apg`` no gradient flows through what the proposal draws, nor through what programs within it draw that
///     have no objective of their own.
///   - detach: with a loss, whether the target runs once more, with gradients stopped at all of its latent
///     values. The result and the loss are then made of this second run's output and sites.
public func propose<I, O>(
  _ target: some TargetProgram<I, O>, _ proposal: some InferenceProgram<I, some TensorTree>,
  loss: Objective? = nil,
  detach: Bool = false
) -> Inference<I, O> {
  Inference(
    node: ProgramNode(
      emitter: ProposeEmitter(
        target: target.node, proposal: proposal.node, objective: loss, detach: detach, isChained: false)))
}

/// The same for a target that takes the proposal's output as its input.
public func propose<I, M, O>(
  _ target: some TargetProgram<M, O>, chaining proposal: some InferenceProgram<I, M>, loss: Objective? = nil,
  detach: Bool = false
) -> Inference<I, O> {
  Inference(
    node: ProgramNode(
      emitter: ProposeEmitter(
        target: target.node, proposal: proposal.node, objective: loss, detach: detach, isChained: true)))
}

struct ProposeEmitter: ProgramEmitter {
  let target: ProgramNode
  let proposal: ProgramNode
  let objective: Objective?
  let detach: Bool
  let isChained: Bool
  var programs: [ProgramNode] { [target, proposal] }

  func emit(into code: inout StageCode, _ place: Place) throws {
    let scope = place.scope
    let proposalScope = code.makeScope()
    let targetScope = code.makeScope()
    // An objective of the step's own decides for what is drawn in it.
    var (drawn, treatment) = (place.treatment.within, place.treatment.within)
    if let objective { (drawn.fixesDraws, treatment.fixesDraws) = (objective.fixesSamples, false) }
    let weighed = treatment
    if let objective { code.note(objective) }

    let proposalInput = isChained ? place.input : code.copy(place.input)
    code.append { try $0.open(proposalScope, from: scope) }
    code.run(proposal, Place(input: proposalInput, scope: proposalScope, treatment: drawn))
    code.then { code in
      code.append { machine in
        try machine.open(targetScope, from: scope, given: try machine.finishedTrace(proposalScope).sites)
      }
      if !isChained { code.discard(code.output) }
      let input = isChained ? code.output : place.input
      let scopes = Scopes(proposal: proposalScope, target: targetScope, outer: place)
      guard detach && objective != nil else {
        code.run(target, Place(input: input, scope: targetScope, treatment: weighed))
        code.then { code in emitWeighing(into: &code, scopes) }
        return
      }
      let again = code.copy(input)
      code.run(target, Place(input: input, scope: targetScope, treatment: weighed))
      code.then { code in
        code.discard(code.output)
        emitDetached(into: &code, input: again, scopes, weighed)
      }
    }
  }

  func outline() -> ProgramOutline {
    var title = "propose"
    if let objective { title += ", loss: \(objective.name)" }
    if detach { title += ", detach" }
    return ProgramOutline(
      title, [.init(target, "target"), .init(proposal, isChained ? "chained proposal" : "proposal")])
  }

  /// Where the programs of a step have their sites.
  private struct Scopes {
    let proposal: Scope
    let target: Scope
    /// The second run of the target, with `detach`.
    var detached: Scope?
    /// Where the step itself stands.
    let outer: Place
  }

  /// The second run of the target, at its own values without gradients.
  private func emitDetached(
    into code: inout StageCode, input: Register, _ scopes: Scopes, _ treatment: SiteTreatment
  ) {
    let detachedScope = code.makeScope()
    code.append { machine in
      // Under the names that the sites had when they ran, so that each takes its own value.
      try machine.open(
        detachedScope, from: scopes.outer.scope, given: try machine.recorder(scopes.target).sites,
        detachesGiven: true)
    }
    code.run(target, Place(input: input, scope: detachedScope, treatment: treatment))
    var scopes = scopes
    scopes.detached = detachedScope
    code.then { [scopes] code in emitWeighing(into: &code, scopes) }
  }

  /// What comes after the programs: weights, and the sites that are handed on.
  private func emitWeighing(into code: inout StageCode, _ scopes: Scopes) {
    let number = code.nextNumber(of: .propose)
    code.append { machine in try weigh(machine, scopes, number) }
    if let detached = scopes.detached { code.free(detached) }
    code.free(scopes.proposal)
    code.free(scopes.target)
  }

  /// Weighs the proposal's values for the target, and hands on the target's sites.
  private func weigh(_ machine: Machine, _ scopes: Scopes, _ number: Int) throws {
    let target = try machine.finishedTrace(scopes.target)
    let weighing = try Weighing(machine, proposal: scopes.proposal, target: target, isChained: isChained)
    let handedOn = try scopes.detached.map { try machine.finishedTrace($0) } ?? target
    var metrics = try machine.recorder(scopes.proposal).metrics ?? RunningMetrics()
    metrics.logWeight = weighing.logWeight
    // The sites that go on are the target's.
    (metrics.forgottenDraws, metrics.forgottenDensity) = (0, nil)
    metrics.weightTerms += weighing.terms
    if machine.hasParticles {
      metrics.summarize(weighing.logWeight)
      if machine.reportsSteps {
        metrics.steps.append(
          .pending(number, logWeight: weighing.logWeight, incremental: weighing.incremental))
      }
    } else {
      metrics.forgetSummary()
    }
    metrics.logDensity = .pending(weighing.logDensity)
    if let objective {
      if let rowLoss = objective.rowLoss, weighing.comesInEqual || !objective.needsEqualWeights {
        metrics.addLossRows(rowLoss(weighing.incremental, machine.particleCount))
      } else {
        metrics.lossTerms.append(
          .init(
            objective: objective, incremental: weighing.incremental, incoming: weighing.incoming,
            proposal: weighing.proposal.sites, target: handedOn.sites))
      }
    }
    if let detached = scopes.detached { machine.close(detached) }
    machine.close(scopes.proposal)
    machine.close(scopes.target)
    try machine.replay(handedOn.marginal.sites, metrics, into: scopes.outer.scope, scopes.outer.treatment)
    try machine.checkFailure()
  }
}

/// The weights of a proposal for a target, one number for each particle.
struct Weighing {
  let proposal: Trace
  /// nil where the proposal has no weight.
  let incoming: Tensor?
  /// Whether all particles come in with the same weight.
  let comesInEqual: Bool
  let incremental: Tensor
  let logWeight: Tensor
  /// What this step adds to the weight, site by site.
  let terms: [WeightTerm]
  /// The log-probability of the target's own sites.
  let logDensity: Tensor

  /// - Parameter isChained: whether the target takes the proposal's output, so that it needs none of its
  ///   sites.
  init(_ machine: Machine, proposal scope: Scope, target: Trace, isChained: Bool) throws {
    let recorder = try machine.recorder(scope)
    proposal = try machine.finishedTrace(scope)
    let inProposal = proposal.nameSet
    let inTarget = target.nameSet
    for site in target.sites where !site.isGiven && !site.isObserved && inProposal.contains(site.key) {
      // The names became the same only after the target had run, when suffixes were taken off. The target has
      // not taken the proposal's value but drawn one of its own.
      throw CoixError.site(
        name: site.name,
        reason:
          "the target draws it anew instead of taking the proposal's value, because one of the two traces lost a "
          + "\(Trace.suffix): give an auxiliary variable the name of a variable that both programs keep")
    }
    for site in target.sites where site.isObserved && inProposal.contains(site.key) {
      guard proposal.sites.contains(where: { $0.key == site.key && !$0.isObserved }) else { continue }
      throw CoixError.site(
        name: site.name,
        reason:
          "the target observes it, and the proposal draws it: the proposal's density would be that of another "
          + "value; give the proposal the value too (condition), or do without the site there (block)")
    }
    try Self.requireThatNamesMeet(proposal, target, isChained: isChained)
    func isGained(_ site: Site) -> Bool { site.isObserved || inProposal.contains(site.key) }
    func isPaid(_ site: Site) -> Bool { site.isObserved || inTarget.contains(site.key) }
    let gained = machine.sum(target.sites, where: isGained)
    var paid = machine.sum(proposal.sites, where: isPaid)
    if let forgotten = recorder.metrics?.forgottenDensity.map({ machine.local($0) }) {
      paid = paid.map { $0 + forgotten } ?? forgotten
    }
    incremental =
      switch (gained, paid) {
      case (let gained?, let paid?): gained - paid
      case (let gained?, nil): gained
      case (nil, let paid?): -paid
      case (nil, nil): Tensor(0)
      }
    let weight = machine.logWeight(recorder.metrics, proposal.sites)
    let step = incremental
    logWeight = weight.map { $0 + step } ?? step
    incoming = weight
    terms =
      machine.weightTerms(proposal.sites) { $0.isObserved && !$0.isWeighed }
      + machine.weightTerms(target.sites, where: isGained)
      + machine.weightTerms(proposal.sites, sign: -1, where: isPaid)
    comesInEqual = weight.map { !$0.isBatched } ?? true
    logDensity = machine.sum(target.sites) { !$0.key.isSuffixed } ?? Tensor(0)
  }
}

extension Weighing {
  /// Throws where latent sites of target and proposal are surely meant to meet but don't: if none of them do,
  /// or if two differ in upper and lower case or underscores alone.
  ///
  /// Otherwise a latent site may be on one side only. The target then draws it by itself, and that of a
  /// proposal is an auxiliary variable.
  private static func requireThatNamesMeet(_ proposal: Trace, _ target: Trace, isChained: Bool) throws {
    // In the usual case, each of the target's latent sites has the proposal's value, this looks at nothing
    // else.
    guard target.sites.contains(where: { !$0.isObserved && !$0.isGiven }) else { return }
    let (inProposal, inTarget) = (proposal.nameSet, target.nameSet)
    let proposed = proposal.sites.filter { !$0.isObserved }
    let unproposed = target.sites.filter { !$0.isObserved && !inProposal.contains($0.key) }
    let unwanted = proposed.filter { !inTarget.contains($0.key) }
    guard let first = unproposed.first, !unwanted.isEmpty else { return }
    for site in unproposed {
      guard let other = unwanted.first(where: { $0.key.isLikely(site.key) }) else { continue }
      throw CoixError.site(
        name: other.name,
        reason:
          "the proposal draws it, the target draws \"\(site.name)\": sites meet by name, and these two do not"
      )
    }
    guard !isChained, unwanted.count == proposed.count else { return }
    throw CoixError.site(
      name: first.name,
      reason: "no latent site of the target takes a value from the proposal: the target has "
        + "\(unproposed.map(\.name).listed), the proposal \(unwanted.map(\.name).listed); sites meet by name")
  }
}

extension SiteName {
  /// Whether another name is the same up to case and underscores.
  fileprivate func isLikely(_ other: SiteName) -> Bool {
    func plain(_ name: SiteName) -> String { name.base.lowercased().filter { $0 != "_" } }
    return suffixCount == other.suffixCount && plain(self) == plain(other)
  }
}

extension AnyProgram {
  /// Weights a proposal for a target; see ``propose(_:_:loss:detach:)``. With `chain`, the target takes the
  /// proposal's output.
  ///
  /// - Throws: `CoixError.illFormedProgram(_:)` if the target is an inference program.
  public static func propose(
    _ target: AnyProgram, _ proposal: AnyProgram, loss: Objective? = nil, detach: Bool = false,
    chain: Bool = false
  ) throws -> AnyProgram {
    try target.requireDensity(for: "propose")
    return AnyProgram(
      ProposeEmitter(
        target: target.node, proposal: proposal.node, objective: loss, detach: detach, isChained: chain),
      .inference)
  }
}
