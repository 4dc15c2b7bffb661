import Coix

extension Dictionary where Key == String {
  /// The value of a key that must be there.
  func entry(_ key: String) throws -> Value {
    guard let value = self[key] else { throw GoldenError("no entry \"\(key)\" among \(keys.sorted())") }
    return value
  }
}
