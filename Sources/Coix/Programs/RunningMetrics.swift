import CoixParallel

/// What programs have computed of weights and losses, while an evaluation runs.
///
/// Within a chunk these are per-particle tensors; what needs all particles is left `pending` and resolved at the next barrier.
struct RunningMetrics {
  /// A metric of the whole plate.
  enum Metric {
    /// To be computed from the weights of all particles.
    case pending(Tensor)
    case value(Tensor)
  }

  /// A loss that reads whole-plate tensors.
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
  /// Pending if and only if ``logZ`` is, of the same weights: see ``summarize(_:)``.
  var ess: Metric?
  var logZ: Metric?
  /// Pending: each particle's log-density.
  var logDensity: Metric?
  /// The loss so far.
  var loss: Tensor?
  /// Each particle's part of losses that need no other particle.
  var lossRows: Tensor?
  /// Losses that do.
  var lossTerms: [LossTerm] = []

  /// Whether any loss was asked for.
  var hasLoss: Bool { loss != nil || lossRows != nil || !lossTerms.isEmpty }

  /// Leaves effective sample size and evidence to be computed from these weights.
  mutating func summarize(_ weights: Tensor) {
    ess = .pending(weights)
    logZ = .pending(weights)
  }

  /// Later metrics replace earlier ones.
  mutating func merge(_ later: RunningMetrics) {
    if let weight = later.logWeight { logWeight = weight }
    if let metric = later.ess { ess = metric }
    if let metric = later.logZ { logZ = metric }
    if let metric = later.logDensity { logDensity = metric }
    if later.hasLoss {
      loss = later.loss
      lossRows = later.lossRows
      lossTerms = later.lossTerms
    }
  }

  mutating func addLossRows(_ rows: Tensor) {
    lossRows = lossRows.map { $0 + rows } ?? rows
  }

  /// Visits what must be known at the barrier, in a fixed order.
  mutating func visit(_ body: (ExportKind, inout Tensor) throws -> Void) throws {
    if var tensor = logWeight {
      try body(.rows, &tensor)
      logWeight = tensor
    }
    try Self.visit(&ess, .rows, body)
    try Self.visit(&logZ, .rows, body)
    try Self.visit(&logDensity, .sum, body)
    if var tensor = loss {
      try body(.rows, &tensor)
      loss = tensor
    }
    if var tensor = lossRows {
      try body(.loss, &tensor)
      lossRows = tensor
    }
    for index in lossTerms.indices {
      try body(.rows, &lossTerms[index].incremental)
      if var tensor = lossTerms[index].incoming {
        try body(.rows, &tensor)
        lossTerms[index].incoming = tensor
      }
      // Objectives read log-probabilities, not values.
      for site in lossTerms[index].proposal.indices {
        try body(.rows, &lossTerms[index].proposal[site].logProb)
      }
      for site in lossTerms[index].target.indices { try body(.rows, &lossTerms[index].target[site].logProb) }
    }
  }

  private static func visit(
    _ metric: inout Metric?, _ kind: ExportKind, _ body: (ExportKind, inout Tensor) throws -> Void
  ) throws {
    switch metric {
    case .pending(var tensor)?:
      try body(kind, &tensor)
      metric = .pending(tensor)
    case .value(var tensor)?:
      try body(.rows, &tensor)
      metric = .value(tensor)
    case nil: break
    }
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
