import Coix

/// A signal has ended a training before its last step.
public struct Interrupted: Error {
  /// The signal's number.
  public let signal: Int32
}

extension TrainingResult {
  /// This result, of a training that no signal has ended.
  ///
  /// - Throws: ``Interrupted``.
  public func uninterrupted() throws -> Self {
    if case .interrupted(let signal) = end { throw Interrupted(signal: signal) }
    return self
  }
}
