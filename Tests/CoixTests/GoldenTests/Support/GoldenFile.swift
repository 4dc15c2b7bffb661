import Coix
import Foundation
import Synchronization
import Testing

/// A file of golden conformance vectors: cases with inputs and the numbers that the reference gives for them.
///
/// The files are this test target's resources; the environment variable `COIX_GOLDEN` names another folder to
/// read them from. The tests take every seed, shape, parameter and number from the file.
struct GoldenFile: Sendable {
  let group: String
  /// What stands beside the cases.
  let head: JSON
  let cases: [GoldenCase]

  /// The cases of a group.
  ///
  /// - Parameter isOwn: whether the group's file is one of this package alone, which no other folder has.
  static func cases(_ group: String, isOwn: Bool = false) throws -> [GoldenCase] {
    try load(group, isOwn: isOwn).cases
  }

  private static let loaded = Mutex<[URL: GoldenFile]>([:])

  static func load(_ group: String, isOwn: Bool = false) throws -> GoldenFile {
    let file = try folder(isOwn).appending(path: "\(group).json")
    return try loaded.withLock { loaded in
      if let known = loaded[file] { return known }
      let read = try GoldenFile(group, file)
      loaded[file] = read
      return read
    }
  }

  private init(_ group: String, _ file: URL) throws {
    let json = try JSON(parsing: Array(try Data(contentsOf: file)))
    guard json["group"]?.string == group, let cases = json["cases"]?.array, !cases.isEmpty else {
      throw GoldenError("\(file.path) has no cases of the group \(group)")
    }
    (self.group, head, self.cases) = (group, json, try cases.map(GoldenCase.init))
  }

  private static func folder(_ isOwn: Bool) throws -> URL {
    if !isOwn, let path = ProcessInfo.processInfo.environment["COIX_GOLDEN"] { return URL(filePath: path) }
    guard let folder = Bundle.module.resourceURL?.appending(path: "Golden") else {
      throw GoldenError("the golden files are not among the test target's resources")
    }
    return folder
  }
}

/// One case of a golden file.
struct GoldenCase: Sendable, CustomTestStringConvertible {
  let name: String
  /// nil where nothing is drawn.
  let seed: Int?
  let inputs: [String: GoldenTensor]
  private(set) var expected: [String: GoldenTensor]
  /// Everything else that stands in the case.
  let fields: JSON

  init(_ json: JSON) throws {
    guard let name = json["name"]?.string, case .object(let inputs)? = json["inputs"],
      case .object(let expected)? = json["expected"]
    else { throw GoldenError("a case lacks its name, its inputs or what is expected") }
    self.name = name
    seed = json["seed"]?.integer
    self.inputs = try Dictionary(
      uniqueKeysWithValues: inputs.map { ($0, try GoldenTensor($1, of: "\(name): \($0)")) })
    self.expected = try Dictionary(
      uniqueKeysWithValues: expected.map { ($0, try GoldenTensor($1, of: "\(name): \($0)")) })
    fields = json
  }

  var testDescription: String { name }

  /// The case with another expectation of an entry, nil for none.
  func expecting(_ tensor: Tensor?, of entry: String) -> GoldenCase {
    var result = self
    result.expected[entry] = tensor.map(GoldenTensor.init)
    return result
  }

  func field(_ name: String) throws -> String {
    guard let field = fields[name]?.string else { throw GoldenError("\(self.name): no field \(name)") }
    return field
  }

  func input(_ name: String) throws -> GoldenTensor {
    guard let tensor = inputs[name] else { throw GoldenError("\(self.name): no input \(name)") }
    return tensor
  }

  func expectation(_ name: String) throws -> GoldenTensor {
    guard let tensor = expected[name] else { throw GoldenError("\(self.name): nothing expected of \(name)") }
    return tensor
  }

  /// An input that is a key.
  func key(_ name: String = "key") throws -> PRNGKey {
    guard let key = try input(name).keys.first else { throw GoldenError("\(self.name): \(name) is no key") }
    return key
  }

  /// The seed's key.
  func seedKey() throws -> PRNGKey {
    guard let seed else { throw GoldenError("\(name): no seed") }
    return PRNGKey(seed: seed)
  }
}
