import CoixParallel

/// What an objective reads: two traces and two weights, each over the whole plate.
public struct ObjectiveInputs: Sendable {
  /// The proposal's sites; their log-probabilities are `[particles, instances…]`, with the axes of local
  /// plates behind them, their values `[particles, instances…, event…]`.
  public let proposal: Trace
  /// The target's sites.
  public let target: Trace
  /// The log-weight that the particles came in with, `[particles, instances…]`.
  public let incomingLogWeight: Tensor
  /// What this step added to it.
  public let incrementalLogWeight: Tensor

  /// Inputs by hand, to use an objective outside of a program.
  public init(proposal: Trace, target: Trace, incomingLogWeight: Tensor, incrementalLogWeight: Tensor) {
    self.proposal = proposal
    self.target = target
    self.incomingLogWeight = incomingLogWeight
    self.incrementalLogWeight = incrementalLogWeight
  }

  /// Weights without a particle axis are those of a single particle.
  var isPlated: Bool { incomingLogWeight.shape.rank > 0 || incrementalLogWeight.shape.rank > 0 }
}

/// A loss to be minimised at a proposal step.
///
/// Your own is a function of an ``ObjectiveInputs`` to one number for each particle, whose sum is the loss:
///
/// ```swift
/// let objective = Objective("mine") { inputs in -inputs.incrementalLogWeight / 100 }
/// ```
public struct Objective: Sendable {
  /// The objective's name.
  public let name: String
  /// Each particle's part of the loss.
  public let terms: @Sendable (ObjectiveInputs) -> Tensor
  /// The same, from a particle's incremental log-weight and the particle count alone; nil if other particles
  /// matter. The runtime then takes the gradient of each chunk at once.
  let rowLoss: (@Sendable (Tensor, Int) -> Tensor)?
  /// Whether `rowLoss` holds only where all incoming weights are equal.
  let needsEqualWeights: Bool
  /// Whether `terms` may read the sites' values, which have to be merged for that.
  let readsValues: Bool

  /// An objective from each particle's part of the loss.
  public init(_ name: String, terms: @escaping @Sendable (ObjectiveInputs) -> Tensor) {
    self.init(name, rowLoss: nil, readsValues: true, terms: terms)
  }

  /// One of the library's own, which read weights and log-probabilities.
  init(
    _ name: String, rowLoss: (@Sendable (Tensor, Int) -> Tensor)? = nil, needsEqualWeights: Bool = false,
    readsValues: Bool, terms: @escaping @Sendable (ObjectiveInputs) -> Tensor
  ) {
    self.name = name
    self.terms = terms
    self.rowLoss = rowLoss
    self.needsEqualWeights = needsEqualWeights
    self.readsValues = readsValues
  }

  /// The loss: the sum of the terms.
  public func loss(_ inputs: ObjectiveInputs) -> Tensor { terms(inputs).sum() }
}
