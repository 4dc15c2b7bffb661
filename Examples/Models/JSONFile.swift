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
    let data = try encoder.encode(value) + Data("\n".utf8)
    do { try data.write(to: URL(fileURLWithPath: path)) } catch {
      throw CoixError.file(path: path, reason: "cannot be written: \(error.localizedDescription)")
    }
  }
}
