/// When a training stops because it gets no better.
///
/// What is watched is the evaluation's value, or without an evaluation the mean loss since the last report. Smaller is
/// better. Only what comes as often as the options say counts, and not what comes because a step is the last one.
public struct EarlyStopping: Hashable, Sendable {
  /// After how many values in a row that are no improvement the training stops.
  public let patience: Int
  /// By how much a value must be below the best one so far to be an improvement.
  public let improvement: Float

  /// A rule for stopping.
  ///
  /// - Parameters:
  ///   - patience: after how many values in a row that are no improvement the training stops: at least 1.
  ///   - improvement: by how much a value must be below the best one so far: finite, and not negative.
  public init(patience: Int, improvement: Float = 0) {
    (self.patience, self.improvement) = (patience, improvement)
  }

  /// - Throws: `CoixError.argument(_:)`.
  func validate() throws {
    guard patience >= 1 else {
      throw CoixError.argument("EarlyStopping: the patience must be at least 1, is \(patience)")
    }
    guard improvement >= 0, improvement.isFinite else {
      throw CoixError.argument(
        "EarlyStopping: the improvement must be finite and not negative, is \(improvement)")
    }
  }

  /// What has been seen so far.
  struct Progress: Hashable, Sendable, Codable {
    private(set) var best: Float?
    private(set) var valuesSinceBest = 0

    /// Whether a file may have said this.
    var isPossible: Bool { StepCounts.possible.contains(valuesSinceBest) }

    /// Whether the training has waited long enough.
    func isOver(by rule: EarlyStopping?) -> Bool { rule.map { valuesSinceBest >= $0.patience } ?? false }

    /// Takes notice of a value. One that is not finite is no improvement.
    mutating func note(_ value: Float, by rule: EarlyStopping) {
      if value.isFinite, best.map({ value < $0 - rule.improvement }) ?? true {
        (best, valuesSinceBest) = (value, 0)
      } else {
        valuesSinceBest += 1
      }
    }
  }
}
