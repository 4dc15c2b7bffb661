/// What a step of a training has come to.
///
/// As JSON it is an object with these names; a number that is not finite, or not there, is left out.
public struct TrainingStep: Hashable, Sendable {
  /// The step's number.
  public let step: Int
  /// The loss before the step.
  public let loss: Float
  /// The mean of the finite losses since the last report, this one included.
  public let meanLoss: Float
  /// What the evaluation has returned after this step; nil if there was none.
  public var evaluation: Float?
  /// The epoch that the step's batch belongs to, counted from 0; nil for a training without batches.
  public let epoch: Int?
  /// How many steps have been skipped so far, since their gradients were not finite.
  public let skipped: Int
  /// Seconds since the training began, with evaluations and checkpoints, and those before it was resumed.
  public let seconds: Double
}

extension TrainingStep: Encodable {
  private enum Name: String, CodingKey {
    case step, loss, meanLoss, evaluation, epoch, skipped, seconds
  }

  public func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: Name.self)
    try values.encode(step, forKey: .step)
    if loss.isFinite { try values.encode(loss, forKey: .loss) }
    if meanLoss.isFinite { try values.encode(meanLoss, forKey: .meanLoss) }
    if let evaluation, evaluation.isFinite { try values.encode(evaluation, forKey: .evaluation) }
    try values.encodeIfPresent(epoch, forKey: .epoch)
    try values.encode(skipped, forKey: .skipped)
    try values.encode(seconds, forKey: .seconds)
  }
}
