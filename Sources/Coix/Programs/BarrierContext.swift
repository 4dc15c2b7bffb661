import CoixParallel

/// What a barrier knows of the plate.
struct BarrierContext {
  /// The plates' sizes, particles first; empty outside of plates.
  let batch: [Int]
  /// Whether the first of them are particles.
  let hasParticles: Bool
  let plateName: String
  let workers: Workers
  /// The number of the stage that has ended, from 1, for messages.
  let stage: Int

  /// The stage's name in messages.
  var step: String { "step \(stage)" }
  var rows: Int { batch.reduce(1, *) }
  var particles: Int { hasParticles ? batch.first ?? 1 : 1 }
  var instances: Int { batch.dropFirst(hasParticles ? 1 : 0).reduce(1, *) }

  /// A tensor over the plate's rows in the plates' shape, `[particles, instances…, event…]`; a uniform one spread over it.
  func wholePlate(_ tensor: Tensor) -> Tensor {
    guard !batch.isEmpty else { return tensor }
    let shape = Shape(batch).appending(tensor.shape)
    guard tensor.isMapped else { return tensor.broadcast(to: shape) }
    let whole = tensor.unmapped()
    return whole.shape == shape ? whole : whole.reshaped(to: shape)
  }

  /// Computes what was left pending for want of all particles.
  func resolve(_ metrics: inout RunningMetrics) throws {
    if let weights = metrics.logZ, weights.isPending {
      let summary = try namingSites(of: metrics.weightTerms) { try self.summary(of: weights.tensor) }
      metrics.ess = .value(summary.ess)
      metrics.logZ = .value(summary.logZ)
    }
    for index in metrics.steps.indices {
      try namingSites(of: metrics.weightTerms) { try metrics.steps[index].resolve(self) }
    }
    if let density = metrics.logDensity, density.isPending {
      metrics.logDensity = .value(
        batch.isEmpty ? density.tensor : density.tensor * Tensor(1 / Float(particles)))
    }
    var losses: [Tensor] = []
    if let loss = metrics.loss { losses.append(loss) }
    if let rows = metrics.lossRows { losses.append(rows) }
    for term in metrics.lossTerms {
      let inputs = ObjectiveInputs(
        proposal: wholePlate(term.proposal, values: term.objective.readsValues),
        target: wholePlate(term.target, values: term.objective.readsValues),
        incomingLogWeight: particleFirst(term.incoming ?? Tensor(0)),
        incrementalLogWeight: particleFirst(term.incremental))
      losses.append(try term.objective.loss(inputs).validated())
    }
    metrics.loss = losses.dropFirst().reduce(losses.first) { sum, loss in sum.map { $0 + loss } }
    metrics.lossRows = nil
    metrics.lossTerms = []
  }

  /// Effective sample size and evidence of the plate's weights.
  func summary(of weights: Tensor) throws -> WeightSummary {
    try WeightSummary(wholePlate(weights), step: step, workers: workers)
  }

  /// The same with an axis for a single particle where there are instances only.
  private func particleFirst(_ tensor: Tensor) -> Tensor {
    let whole = wholePlate(tensor)
    return hasParticles || batch.isEmpty ? whole : whole.expandingAxis(at: 0)
  }

  private func wholePlate(_ sites: [Site], values: Bool) -> Trace {
    Trace(
      sites.map { site in
        var site = site
        site.value = values ? particleFirst(site.value) : .unkept
        site.logProb = particleFirst(site.logProb)
        return site
      })
  }
}
