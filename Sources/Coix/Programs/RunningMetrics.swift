import CoixParallel

/// The weights, metrics and losses that programs have computed so far, while an evaluation runs.
///
/// Within a chunk they are tensors with a number for each row. What needs all particles is left pending, and
/// computed at the next barrier.
struct RunningMetrics {
  /// A metric of the whole plate.
  enum Metric {
    /// What each particle contributes: the metric is computed from all of them at the next barrier.
    case pending(Tensor)
    /// The metric itself.
    case value(Tensor)

    /// The metric; while it is pending, what each particle contributes.
    var tensor: Tensor {
      get {
        switch self {
        case .pending(let tensor), .value(let tensor): tensor
        }
      }
      set { self = isPending ? .pending(newValue) : .value(newValue) }
    }

    /// Whether the metric is yet to be computed.
    var isPending: Bool { if case .pending = self { true } else { false } }
  }

  /// A loss that needs all particles: what its objective will read.
  struct LossTerm {
    let objective: Objective
    var incremental: Tensor
    /// nil where the proposal has no weight.
    var incoming: Tensor?
    var proposal: [Site]
    var target: [Site]
  }

  /// The log-weight of each particle; nil while the program has no weight of its own.
  var logWeight: Tensor?
  /// The terms that have been added to the log-weight since the last resampling; empty unless an error in the
  /// weights is being explained.
  var weightTerms: [WeightTerm] = []
  /// Pending if and only if ``logZ`` is, of the same weights: see ``summarize(_:)``.
  var ess: Metric?
  var logZ: Metric?
  /// The target's log-density; while it is pending, each particle's.
  var logDensity: Metric?
  /// The sum of the losses that have been computed.
  var loss: Tensor?
  /// Each particle's part of the losses that need no other particle.
  var lossRows: Tensor?
  /// The losses that do need others, to be computed at the next barrier.
  var lossTerms: [LossTerm] = []
  /// What ``memoize(_:_:memory:size:)`` keeps, for all particles.
  var memory: [String: Tensor]?

  /// How many latent sites were left out of the trace (``marginal(_:keeping:)``). Where a run is replayed,
  /// each takes a key as if it were there, so that what comes after has the same random numbers.
  var forgottenDraws = 0
  /// The log-probabilities of observed sites that were left out of the trace, summed. The log-weight contains
  /// them, so that a further propose divides by them, as it does for the observed sites that it finds.
  var forgottenDensity: Tensor?
  /// The steps so far, if they are to be reported.
  var steps: [RunningStep] = []

  /// Whether any loss was asked for.
  var hasLoss: Bool { loss != nil || lossRows != nil || !lossTerms.isEmpty }

  /// Leaves effective sample size and evidence pending, to be computed from these log-weights.
  mutating func summarize(_ weights: Tensor) {
    ess = .pending(weights)
    logZ = .pending(weights)
  }

  /// Drops effective sample size and evidence, which weights without a particle axis don't have.
  mutating func forgetSummary() { (ess, logZ) = (nil, nil) }

  /// Later metrics replace earlier ones.
  mutating func merge(_ later: RunningMetrics) {
    if let weight = later.logWeight {
      logWeight = weight
      weightTerms = later.weightTerms
    }
    if let metric = later.ess { ess = metric }
    if let metric = later.logZ { logZ = metric }
    if let metric = later.logDensity { logDensity = metric }
    if let kept = later.memory { memory = kept }
    if later.hasLoss {
      loss = later.loss
      lossRows = later.lossRows
      lossTerms = later.lossTerms
    }
    steps += later.steps
    forgottenDraws += later.forgottenDraws
    // One of the two programs at most has a weight.
    if let density = later.forgottenDensity { forgottenDensity = density }
  }

  mutating func addLossRows(_ rows: Tensor) {
    lossRows = lossRows.map { $0 + rows } ?? rows
  }

  /// Visits, in a fixed order, the tensors that the barrier needs.
  mutating func visit(_ body: (ExportKind, inout Tensor) throws -> Void) throws {
    try logWeight?.visited(.rows, body)
    try forgottenDensity?.visited(.rows, body)
    for index in weightTerms.indices { try weightTerms[index].logDensity.visited(.rows, body) }
    try ess?.tensor.visited(.rows, body)
    try logZ?.tensor.visited(.rows, body)
    if let logDensity { try self.logDensity?.tensor.visited(logDensity.isPending ? .sum : .rows, body) }
    try loss?.visited(.rows, body)
    try lossRows?.visited(.loss, body)
    for index in steps.indices { try steps[index].visitPending { try $0.visited(.rows, body) } }
    for index in lossTerms.indices {
      try lossTerms[index].incremental.visited(.rows, body)
      try lossTerms[index].incoming?.visited(.rows, body)
      let readsValues = lossTerms[index].objective.readsValues
      for site in lossTerms[index].proposal.indices {
        try lossTerms[index].proposal[site].visit(values: readsValues, body)
      }
      for site in lossTerms[index].target.indices {
        try lossTerms[index].target[site].visit(values: readsValues, body)
      }
    }
  }
}

extension Site {
  fileprivate mutating func visit(values: Bool, _ body: (ExportKind, inout Tensor) throws -> Void) throws {
    if values { try value.visited(.rows, body) }
    try logProb.visited(.rows, body)
  }
}

extension Tensor {
  fileprivate mutating func visited(
    _ kind: ExportKind, _ body: (ExportKind, inout Tensor) throws -> Void
  ) throws {
    try body(kind, &self)
  }
}

/// How a tensor leaves its chunk.
enum ExportKind {
  /// Merged over the plate's rows.
  case rows
  /// Summed over them.
  case sum
  /// Summed, and the loss.
  case loss
}
