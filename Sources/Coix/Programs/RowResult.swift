import CoixParallel

/// A part of an evaluation's result that has a value for each row of the plates: what
/// ``EvaluationOptions/files`` sends to files.
public enum RowResult: Hashable, Sendable {
  /// The log-weights, `[particles, instances…]`.
  case logWeight
  /// The values of a site, `[particles, instances…, local…, event…]`, by its name in the trace.
  case site(String)
  /// The log-probabilities of a site, `[particles, instances…, local…]`, by its name in the trace.
  case logProb(String)
  /// A tensor of the output, `[particles, instances…, event…]`, by its name in the tree: "0" is the first
  /// part of a `Tuple`.
  case output(String = "0")
}

extension RowResult {
  /// Whether it belongs to a site.
  var isOfSite: Bool {
    switch self {
    case .site, .logProb: true
    case .logWeight, .output: false
    }
  }
}

extension RowResult: CustomStringConvertible {
  public var description: String {
    switch self {
    case .logWeight: "the log-weights"
    case .site(let name): "the values of site \"\(name)\""
    case .logProb(let name): "the log-probabilities of site \"\(name)\""
    case .output(let name): "the output's tensor \"\(name)\""
    }
  }
}

/// Which results go to which files.
struct ResultFiles: Sendable {
  private let files: [RowResult: RowFile]

  /// - Throws: `CoixError.file(path:reason:)` for a file that cannot be written, or that two results are to
  ///   go to.
  init(_ files: [RowResult: RowFile]) throws {
    self.files = files
    var paths: Set<String> = []
    for (_, file) in files.sorted(by: { $0.value.path < $1.value.path }) {
      guard paths.insert(file.path).inserted else {
        throw CoixError.file(path: file.path, reason: "two results of an evaluation are to be written there")
      }
      try file.check()
    }
    guard !files.isEmpty, let context = ExecutionContext.current else { return }
    if context.recordsTape {
      throw CoixError.gradient("an evaluation within a gradient computation cannot send its results to files")
    }
    if context.isRecorded {
      throw CoixError.illFormedProgram(
        "compile: an evaluation that is recorded cannot send its results to files")
    }
  }

  var isEmpty: Bool { files.isEmpty }
  var haveOutput: Bool { files.keys.contains { if case .output = $0 { true } else { false } } }
  /// The sites of which anything goes to files.
  private var siteNames: [(result: RowResult, name: String)] {
    files.keys.compactMap { result in
      switch result {
      case .site(let name), .logProb(let name): (result, name)
      case .logWeight, .output: nil
      }
    }
  }
  var haveSites: Bool { files.keys.contains(where: \.isOfSite) }

  /// Which parts of a site go to files: its values, its log-probabilities. (All versions of a variable belong
  /// together: what they are called in the trace depends on which of them there are.)
  func parts(of site: Site) -> (value: Bool, logProb: Bool) {
    var parts = (value: false, logProb: false)
    for (result, name) in siteNames where SiteName(name).base == site.key.base {
      if case .site = result { parts.value = true } else { parts.logProb = true }
    }
    return parts
  }

  /// The files of some tensors that leave a chunk, by their numbers among all that do.
  ///
  /// - Parameters:
  ///   - batch: the plates' rows.
  ///   - results: the result of each kind, as the chunk has it.
  ///   - number: the number of a tensor among those that leave the chunk; nil for one that doesn't.
  func places(
    of results: (RowResult) throws -> Tensor?, batch: [Int], _ number: (Tensor) -> Int?
  ) rethrows -> [Int: (file: RowFile, shape: Shape)] {
    var places: [Int: (file: RowFile, shape: Shape)] = [:]
    for (result, file) in files.sorted(by: { $0.value.path < $1.value.path }) {
      guard let tensor = try results(result), let number = number(tensor), places[number] == nil else {
        continue
      }
      places[number] = (file, Shape(batch).appending(tensor.shape))
    }
    return places
  }

  /// Writes the results that are not in their files yet, and gives all files their names.
  ///
  /// - Throws: `CoixError.file(path:reason:)`; `CoixError.argument(_:)` for a result that there is none of.
  func finish(_ find: (RowResult) throws -> Tensor?) throws {
    let written = try files.map { result, file in
      guard let tensor = try find(result) else {
        throw CoixError.argument("files: there is no such thing as \(result), which \(file.path) is to have")
      }
      return try tensor.memory(in: file)
    }
    for memory in written { try memory.finish() }
  }

  /// Whether a tensor of the output goes to a file.
  func haveOutput(named name: String) -> Bool { files[.output(name)] != nil }

  /// What stands in the result instead of a tensor that is in a file.
  func replacement(of result: RowResult) -> Tensor? {
    files[result].map { .failed(.argument("\(result) went to the file \($0.path)")) }
  }
}
