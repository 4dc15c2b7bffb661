import CoixParallel

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
