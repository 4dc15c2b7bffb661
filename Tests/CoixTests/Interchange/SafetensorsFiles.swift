import Foundation
import Testing

/// Files that the Python packages `safetensors` and `flax` wrote, and what they read of them:
/// `Golden/safetensors_files.json`, written by `Golden/safetensors_files.py`.
struct SafetensorsFiles: Decodable {
  struct File: Decodable {
    let name: String
    let bytes: Data
    let arrays: [Array]
    let metadata: [String: String]
    /// Whether writing what was read gives the same bytes.
    let isKept: Bool
  }
  struct Array: Decodable {
    let name: String
    let shape: [Int]
    let type: String
    /// Floating point as bits.
    let numbers: [String]
  }
  /// A flax module's parameters, and what it makes of inputs `[2, 3]`.
  struct Module: Decodable {
    let name: String
    let separator: String
    let bytes: Data
    let inputs: [Float]
    let outputs: [Double]
  }

  let files: [File]
  /// With the array `y` of a type that is not supported.
  let refused: [PythonFiles.File]
  let flax: [Module]

  init() throws {
    let folder = try #require(Bundle.module.resourceURL)
    let bytes = try Data(contentsOf: folder.appending(path: "Golden/safetensors_files.json"))
    self = try JSONDecoder().decode(SafetensorsFiles.self, from: bytes)
  }
}
