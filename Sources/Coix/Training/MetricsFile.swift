import Foundation

/// A file that gets one JSON object in a line for each step that is noted.
final class MetricsFile {
  private let path: String
  private let file: FileHandle
  private let encoder = JSONEncoder()

  private struct Line: Decodable {
    let step: Int
  }

  /// Opens the file.
  ///
  /// - Parameter lastStep: what there is up to this step stays; nil for an empty file.
  /// - Throws: `CoixError.file(path:reason:)`, also for a file with lines that no training has written.
  init(_ path: String, after lastStep: Int?) throws {
    self.path = path
    encoder.outputFormatting = [.sortedKeys]
    var kept: [UInt8] = []
    if let lastStep, FileManager.default.fileExists(atPath: path) {
      let lines = try WholeFile.read(path) {
        $0.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
      }
      for (index, line) in lines.enumerated() {
        guard let step = try? JSONDecoder().decode(Line.self, from: Data(line)).step else {
          // A killed process may have left the last line without its end.
          if index == lines.count - 1, Self.isCutOff(line) { break }
          throw CoixError.file(
            path: path,
            reason:
              "line \(index + 1) is not a step of a training, which would go on behind it; write its metrics to "
              + "another file")
        }
        if step <= lastStep { kept += line + [UInt8(ascii: "\n")] }
      }
    }
    try WholeFile.write(path) { kept }
    guard let file = FileHandle(forWritingAtPath: path) else {
      throw CoixError.file(path: path, reason: "cannot be written")
    }
    self.file = file
    // A device has no end.
    _ = try? file.seekToEnd()
  }

  /// Whether a line may be the beginning of one that a training has written; nothing is such a beginning, too.
  private static func isCutOff(_ line: [UInt8].SubSequence) -> Bool {
    let start = Array("{\"".utf8).prefix(line.count)
    return line.starts(with: start) && (try? JSONSerialization.jsonObject(with: Data(line))) == nil
  }

  /// Adds a line.
  ///
  /// - Throws: `CoixError.file(path:reason:)`.
  func add(_ step: TrainingStep) throws {
    do {
      try file.write(contentsOf: encoder.encode(step) + Data([UInt8(ascii: "\n")]))
    } catch {
      throw CoixError.file(path: path, reason: "cannot be written")
    }
  }

  deinit { try? file.close() }
}
