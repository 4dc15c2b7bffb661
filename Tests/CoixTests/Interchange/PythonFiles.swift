import Foundation
import Testing

/// Files that NumPy and Python's `csv` and `zipfile` wrote, and what they read of them:
/// `Golden/interchange.json`, written by `Golden/interchange.py`.
struct PythonFiles: Decodable {
  struct Array: Decodable {
    let name: String
    let bytes: Data
    let shape: [Int]
    let type: String
    /// Floating point as bits.
    let numbers: [String]
  }
  struct File: Decodable {
    let name: String
    let bytes: Data
  }
  struct Names: Decodable {
    let text: String
    let names: [String]
  }
  struct Number: Decodable {
    let text: String
    /// Of the nearest `Float`; nil beyond its range.
    let bits: UInt32?
  }

  let arrays: [Array]
  let refusedArrays: [File]
  /// With the arrays `one`, [1.5, 2], and `two`, [[7], [8]].
  let archives: [File]
  let refusedArchives: [File]
  let names: [Names]
  let numbers: [Number]

  init() throws {
    let folder = try #require(Bundle.module.resourceURL)
    let bytes = try Data(contentsOf: folder.appending(path: "Golden/interchange.json"))
    self = try JSONDecoder().decode(PythonFiles.self, from: bytes)
  }
}
