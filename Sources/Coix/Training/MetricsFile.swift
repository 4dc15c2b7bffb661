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
  /// - Throws: `CoixError.file(path:reason:)`.
  init(_ path: String, after lastStep: Int?) throws {
    self.path = path
    encoder.outputFormatting = [.sortedKeys]
    var kept: [UInt8] = []
    if let lastStep, FileManager.default.fileExists(atPath: path) {
      // A line that a killed process has not written to its end is no JSON.
      let lines = try WholeFile.read(path) { $0.split(separator: UInt8(ascii: "\n")) }
      for line in lines {
        guard let step = try? JSONDecoder().decode(Line.self, from: Data(line)).step, step <= lastStep else {
          continue
        }
        kept += line + [UInt8(ascii: "\n")]
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
