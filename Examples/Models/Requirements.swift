import Coix

/// Refuses a setting outside of its range.
///
/// - Throws: ``CoixError/argument(_:)``.
func require(_ value: Int, in range: ClosedRange<Int>, _ name: String) throws {
  guard value >= range.lowerBound else {
    throw CoixError.argument("the \(name) must be at least \(range.lowerBound), is \(value)")
  }
  guard value <= range.upperBound else {
    throw CoixError.argument("the \(name) must be at most \(range.upperBound), is \(value)")
  }
}
