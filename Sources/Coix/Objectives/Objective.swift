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

  /// Whether there is a particle axis. Without one the weights are those of a single particle.
  var isPlated: Bool { incomingLogWeight.shape.rank > 0 || incrementalLogWeight.shape.rank > 0 }
}

/// A loss to be minimised at a proposal step.
///
/// A loss is a mean over particles and a sum over instances and steps, so that it grows with the plate of instances;
/// ``Metrics/logZ`` is such a sum, too, and ``Metrics/ess`` is a mean over instances.
///
/// Your own is a function of an ``ObjectiveInputs`` to one number for each particle, whose sum is the loss:
///
/// ```swift
/// let objective = Objective("mine") { inputs in -inputs.incrementalLogWeight / 100 }
/// ```
///
/// If yours is a sum of log-probabilities at fixed samples, as reweighted wake-sleep is, ``detach(_:)`` the proposal. The
/// library's ``rws``, ``fkl`` and ``apg`` do that by themselves.
public struct Objective: Sendable {
  /// The objective's name.
  public let name: String
  /// Each particle's part of the loss.
  public let terms: @Sendable (ObjectiveInputs) -> Tensor
  /// The same, from a particle's incremental log-weight and the number of particles alone; nil if the terms
  /// depend on other particles too. With it, the runtime can take the gradient of each chunk as soon as the
  /// chunk has run.
  let rowLoss: (@Sendable (Tensor, Int) -> Tensor)?
  /// Whether `rowLoss` holds only where all incoming weights are equal.
  let needsEqualWeights: Bool
  /// Whether `terms` may read the values of sites, which are collected from the chunks only then.
  let readsValues: Bool
  /// Whether its gradient is that of log-probabilities at fixed samples: a gradient that flowed through the samples, too,
  /// would be another one, and train to nonsense.
  let fixesSamples: Bool

  /// An objective from each particle's part of the loss.
  public init(_ name: String, terms: @escaping @Sendable (ObjectiveInputs) -> Tensor) {
    self.init(name, rowLoss: nil, readsValues: true, terms: terms)
  }

  /// One of the library's own, which read weights and log-probabilities.
  init(
    _ name: String, rowLoss: (@Sendable (Tensor, Int) -> Tensor)? = nil, needsEqualWeights: Bool = false,
    readsValues: Bool, fixesSamples: Bool = false,
    terms: @escaping @Sendable (ObjectiveInputs) -> Tensor
  ) {
    self.name = name
    self.terms = terms
    self.rowLoss = rowLoss
    self.needsEqualWeights = needsEqualWeights
    self.readsValues = readsValues
    self.fixesSamples = fixesSamples
  }

  /// The loss: the sum of the terms.
  public func loss(_ inputs: ObjectiveInputs) -> Tensor { terms(inputs).sum() }
}
