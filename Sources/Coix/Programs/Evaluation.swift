import CoixParallel

/// What a program's run left behind.
public struct Evaluation<Output: TensorTree>: Sendable {
  /// The program's output; each tensor is `[particles, instances…, event…]`.
  public let output: Output
  /// The sites; empty unless everything was kept.
  public let trace: Trace
  /// Weights, evidence and loss.
  public let metrics: Metrics
  /// The plates at the end of the program, outermost first.
  public var plates: [Plate] { trace.plates }
  /// Which of the particles the results' rows are: all of them, unless ``EvaluationOptions/resultRows`` asks for those of this rank.
  public let rows: Range<Int>
  /// Which parts of the result were kept.
  public let keep: EvaluationOptions.Keep
  /// Whether the first plate is the particles'.
  let hasParticles: Bool
  /// The steps within plates that weighted or resampled particles, in the order in which they ran; empty
  /// unless ``EvaluationOptions/steps`` asks for them.
  public let steps: [StepMetrics]
  /// How many times the particles were walked through: one more than there were barriers.
  public let stageCount: Int
  /// The chunks of each stage.
  public let chunkCounts: [Int]
}
