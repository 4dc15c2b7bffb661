import Coix
import Foundation

/// The folder that a command writes its results into.
enum ResultFolder {
  /// Makes the folder, and those above it, if it is not there.
  ///
  /// - Throws: `CoixError.file(path:reason:)`.
  static func make(_ path: String) throws {
    // Why it failed shows in what is there now.
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue,
      FileManager.default.isWritableFile(atPath: path)
    else { throw CoixError.file(path: path, reason: "is not a folder that can be made and written to") }
  }
}
