import CoixParallel

/// What happens at a barrier: what was left pending for want of all particles is computed.
struct BarrierContext {
  /// All particles.
  let population: Population
  /// The number of the stage that has ended, from 1.
  let stage: Int
  /// The evaluation's memory.
  let memory: MemoryAccount
  /// In a trial, the rows that those before and behind the barrier stand for.
  let trial: TrialResampling?

  init(
    stage: Int, plates: [Plate], hasParticles: Bool, workers: Workers, memory: MemoryAccount,
    trial: TrialResampling? = nil
  ) {
    (self.stage, self.memory, self.trial) = (stage, memory, trial)
    population = Population(
      batch: plates.map(\.count), hasParticles: hasParticles, plate: plates.first?.name ?? "",
      workers: workers, chunkRows: plates.first?.chunkRows, firstParticle: plates.first?.part?.start ?? 0)
  }

  /// Computes what was left pending for want of all particles.
  func resolve(_ metrics: inout RunningMetrics) throws {
    if let weights = metrics.logZ, weights.isPending {
      let summary = try namingSites(of: metrics.weightTerms) {
        try population.logWeights(weights.tensor).summary()
      }
      metrics.ess = .value(summary.ess)
      metrics.logZ = .value(summary.logZ)
    }
    for index in metrics.steps.indices {
      try namingSites(of: metrics.weightTerms) { try metrics.steps[index].resolve(self) }
    }
    if let density = metrics.logDensity, density.isPending {
      metrics.logDensity = .value(
        population.batch.isEmpty
          ? density.tensor : density.tensor * Tensor(1 / Float(population.particles)))
    }
    var losses: [Tensor] = []
    if let loss = metrics.loss { losses.append(loss) }
    if let rows = metrics.lossRows { losses.append(rows) }
    for term in metrics.lossTerms {
      let inputs = ObjectiveInputs(
        proposal: whole(term.proposal, values: term.objective.readsValues),
        target: whole(term.target, values: term.objective.readsValues),
        incomingLogWeight: population.particleFirst(term.incoming ?? Tensor(0)),
        incrementalLogWeight: population.particleFirst(term.incremental))
      losses.append(try term.objective.loss(inputs).validated())
    }
    metrics.loss = losses.dropFirst().reduce(losses.first) { sum, loss in sum.map { $0 + loss } }
    metrics.lossRows = nil
    metrics.lossTerms = []
  }

  private func whole(_ sites: [Site], values: Bool) -> Trace {
    Trace(
      sites.map { site in
        var site = site
        site.value = values ? population.particleFirst(site.value) : .unkept
        site.logProb = population.particleFirst(site.logProb)
        return site
      })
  }
}
