import CoixParallel

/// What a program's run computed about itself.
public struct Metrics: Sendable {
  /// The log-weight of each particle, `[particles, instances…]`.
  public internal(set) var logWeight: Tensor
  /// The effective sample size, 1 / Σ softmax(w)², the mean over instances; nil outside of plates, without a proposal,
  /// and where the particles were resampled to ``ParticleCount/one``.
  public internal(set) var ess: Tensor?
  /// The log of the estimated evidence, summed over instances; nil outside of plates, without a proposal, and where the weights of
  /// single particles (``ParticleCount/one``) have changed after the resampling.
  public internal(set) var logZ: Tensor?
  /// The log-density of the target, mean over particles, summed over instances; nil without a proposal.
  public internal(set) var logDensity: Tensor?
  /// The loss; nil if no objective was asked for.
  public internal(set) var loss: Tensor?
  /// The latent values that ``memoize(_:_:memory:size:)`` has kept, `[samples, instances…, event…]` by site; nil without it.
  public internal(set) var memory: [String: Tensor]?

  /// What an evaluation has computed by its end.
  init(_ running: RunningMetrics, logWeight: Tensor) {
    self.logWeight = logWeight
    ess = running.ess?.tensor
    logZ = running.logZ?.tensor
    logDensity = running.logDensity?.tensor
    loss = running.loss
    memory = running.memory
  }
}

/// What a program's run left behind.
public struct Evaluation<Output: TensorTree>: Sendable {
  /// The program's output, `[particles, instances…, event…]` each.
  public let output: Output
  /// Every site; empty unless kept.
  public let trace: Trace
  /// Weights, evidence, loss.
  public let metrics: Metrics
  /// The plates at the end, outermost first.
  public var plates: [Plate] { trace.plates }
  /// What was kept of the result.
  public let keep: EvaluationOptions.Keep
  /// Whether the first plate is the particles'.
  let hasParticles: Bool
  /// The steps within plates that weighted or resampled particles, in the order in which they ran; empty unless
  /// ``EvaluationOptions/steps`` asks for them.
  public let steps: [StepMetrics]
  /// How many times the particles were walked through: one more than there were barriers.
  public let stageCount: Int
  /// The chunks of each stage.
  public let chunkCounts: [Int]
}
