import Coix
import Foundation

/// Values as JSON, their keys in alphabetical order.
public enum JSONFile {
  /// Writes a value, over a file that is there.
  ///
  /// - Throws: ``CoixError/file(path:reason:)``; `EncodingError` for a number that is not finite.
  public static func write(_ value: some Encodable, to path: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    try WholeFile.write(path) { try encoder.encode(value) + [0x0A] }
  }
}

extension Float {
  /// The number, if JSON can have it.
  var ifFinite: Float? { isFinite ? self : nil }
}
