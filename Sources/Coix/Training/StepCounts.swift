import CoixParallel

/// The steps that an optimiser has taken and skipped.
public struct StepCounts: Hashable, Sendable, Codable {
  /// The number of steps that were taken.
  public private(set) var taken = 0
  /// The number of steps that were skipped.
  public private(set) var skipped = 0
  /// The number of steps that were skipped since the last one that was taken.
  public private(set) var skippedInARow = 0
  /// Why the last skipped step was skipped; nil if no step was.
  public private(set) var lastSkipped: SkippedStep?

  /// At this many skipped steps in a row, skipping is an error.
  static let patience = 100

  /// No steps so far.
  public init() {}

  /// Whether the counts, which a file may have said, can be those of a training.
  var arePossible: Bool { [taken, skipped, skippedInARow].allSatisfy(Self.possible.contains) }
  /// What counting may come to: far more than any training takes, and far less than an overflow.
  static let possible = 0...(1 << 53)

  /// Counts a step that is taken.
  public mutating func take() {
    taken += 1
    skippedInARow = 0
  }

  /// Counts a step that is not taken.
  ///
  /// - Parameters:
  ///   - step: why it is not taken.
  ///   - optimizer: the optimiser's name, for the error.
  /// - Throws: `CoixError.gradient(_:)` at the hundredth in a row.
  public mutating func skip(_ step: SkippedStep, by optimizer: String) throws {
    skipped += 1
    skippedInARow += 1
    lastSkipped = step
    guard skippedInARow < Self.patience else {
      throw CoixError.gradient(
        "\(optimizer) has skipped \(skippedInARow) steps in a row, the last one because \(step); an evaluation "
          + "with EvaluationOptions(checks: true) names the site at which a number is no longer finite")
    }
  }
}

/// Throws unless a learning rate is one number, finite and not negative.
func requireLearningRate(_ rate: Tensor, in optimizer: String) throws {
  try require(
    rate.shape == .scalar, of: rate.shape, "the learning rate", "one number of shape []", in: optimizer)
  if rate.isWithin(0...Float.greatestFiniteMagnitude) { return }
  try require(false, of: rate.scalar, "the learning rate", "finite and not negative", in: optimizer)
}

/// Throws unless a decay is at least 0 and less than 1: in single precision, too, where 1 - decay must not be 0.
func requireDecay(_ decay: Double, _ setting: String, in optimizer: String) throws {
  try require(
    decay >= 0 && Float(decay) < 1, of: decay, setting, "at least 0 and less than 1", in: optimizer)
}

/// Throws unless a setting of an optimiser meets its requirement.
func require(
  _ isMet: Bool, of value: some CustomStringConvertible, _ setting: String, _ requirement: String,
  in optimizer: String
) throws {
  guard isMet else {
    throw CoixError.argument("\(optimizer): \(setting) must be \(requirement), is \(value)")
  }
}

extension TensorTree {
  /// Why a step along this gradient must be skipped: the first number that is NaN or of greater magnitude
  /// than a limit; nil if there is none.
  ///
  /// - Parameters:
  ///   - tensors: the gradient's tensors, which the caller has already.
  ///   - parameters: the parameters, which are reported as the cause if they are not finite themselves.
  ///   - limit: the greatest magnitude that a gradient may have.
  func obstacle(
    in tensors: [Tensor], for parameters: Self, limit: Float = .greatestFiniteMagnitude
  ) -> SkippedStep? {
    if tensors.areWithin(-limit...limit) { return nil }
    if let broken = parameters.firstNumber() {
      return SkippedStep(cause: .parameter, name: broken.name, value: broken.value)
    }
    return firstNumber(above: limit).map {
      SkippedStep(cause: $0.value.isFinite ? .squaredGradient : .gradient, name: $0.name, value: $0.value)
    }
  }

  /// Why a step that gives these parameters must be skipped; nil if they are finite.
  func obstacle(after parameters: Self) throws -> SkippedStep? {
    let finite = -Float.greatestFiniteMagnitude...Float.greatestFiniteMagnitude
    if try flattened.map({ try $0.validated() }).areWithin(finite) { return nil }
    guard let broken = firstNumber() else { return nil }
    if let before = parameters.firstNumber() {
      return SkippedStep(cause: .parameter, name: before.name, value: before.value)
    }
    return SkippedStep(cause: .result, name: broken.name, value: broken.value)
  }

  /// The first number that is NaN or of greater magnitude than a limit, and the name of its tensor.
  func firstNumber(above limit: Float = .greatestFiniteMagnitude) -> (name: String, value: Float)? {
    for (name, tensor) in namedTensors {
      if let value = tensor.firstNumber(above: limit) { return (name, value) }
    }
    return nil
  }
}
