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
  /// A file, and what is written until it gets its name.
  private struct Target {
    let file: RowFile
    let new: any NewRowFile
  }
  private let targets: [RowResult: Target]
  /// The ranks that write the files together.
  private let ranks: Ranks

  /// Opens the files. All ranks do so.
  ///
  /// - Parameter given: what the evaluation reads.
  /// - Throws: `CoixError.file(path:reason:)` for a file that cannot be written, that two results are to
  ///   go to, or that the evaluation reads; what ranks throw.
  init(_ files: [RowResult: RowFile], reading given: [Tensor], on ranks: Ranks) throws {
    self.ranks = ranks
    let files = files.sorted { $0.value.path < $1.value.path }
    var places: Set<String> = []
    for (_, file) in files where !places.insert(file.place).inserted {
      throw CoixError.file(path: file.path, reason: "two results of an evaluation are to be written there")
    }
    if !files.isEmpty, let context = ExecutionContext.current {
      if context.recordsTape {
        throw CoixError.gradient(
          "an evaluation within a gradient computation cannot send its results to files")
      }
      if context.isRecorded {
        throw CoixError.illFormedProgram(
          "compile: an evaluation that is recorded cannot send its results to files")
      }
    }
    if !files.isEmpty {
      try ranks.onEach {
        for (_, file) in files where given.contains(where: { $0.isRead(fromFileAt: file.path) }) {
          throw CoixError.file(path: file.path, reason: "is read by the same evaluation")
        }
      }
    }
    var targets: [RowResult: Target] = [:]
    for (result, file) in files { targets[result] = Target(file: file, new: try file.open(on: ranks)) }
    self.targets = targets
  }

  var isEmpty: Bool { targets.isEmpty }
  var haveOutput: Bool { targets.keys.contains { if case .output = $0 { true } else { false } } }

  /// The results and their files, in the same order on all ranks.
  private var sorted: [(key: RowResult, value: Target)] {
    targets.sorted { $0.value.file.path < $1.value.file.path }
  }

  /// The sites of which anything goes to files.
  private var siteNames: [(result: RowResult, name: String)] {
    targets.keys.compactMap { result in
      switch result {
      case .site(let name), .logProb(let name): (result, name)
      case .logWeight, .output: nil
      }
    }
  }
  var haveSites: Bool { targets.keys.contains(where: \.isOfSite) }

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
  ) rethrows -> [Int: ChunkOutcome.FilePlace] {
    var places: [Int: ChunkOutcome.FilePlace] = [:]
    for (result, target) in sorted {
      guard let tensor = try results(result), let number = number(tensor), places[number] == nil else {
        continue
      }
      places[number] = ChunkOutcome.FilePlace(
        target.new, Shape(batch).appending(tensor.shape), hasLogWeights: result == .logWeight)
    }
    return places
  }

  /// A result as it is handed out. What lies in its file, and what goes there row by row, stays as it is. What lies in another
  /// result's file is no longer there when that one is complete, and is put into memory.
  ///
  /// - Parameters:
  ///   - result: which result it is; nil for one that goes to no file.
  ///   - ownAlone: whether this rank is to have its own rows alone of what goes to no file.
  /// - Throws: what ranks throw; `CoixError.memory(what:bytes:)`.
  func rows(of tensor: Tensor, _ result: RowResult?, of population: Population, ownAlone: Bool) throws
    -> Tensor
  {
    // What nobody wants of a site has no numbers.
    if tensor.failure != nil { return tensor }
    let target = result.flatMap { targets[$0] }
    if let target, tensor.memory(in: target.new) != nil || population.isWrittenByRows(tensor) {
      return tensor
    }
    let isWhole = target != nil || !ownAlone
    let rows = isWhole ? population.whole(tensor) : try population.own(tensor)
    return target == nil && !isEmpty ? rows.inMemory : rows
  }

  /// Writes the results that are not in their files yet, and gives all files their names. All ranks call it.
  ///
  /// - Parameters:
  ///   - population: whose rows they are.
  ///   - find: a result; nil if there is none.
  /// - Throws: `CoixError.file(path:reason:)`; `CoixError.argument(_:)` for a result that there is none of; what ranks throw.
  func finish(_ population: Population, _ find: (RowResult) throws -> Tensor?) throws {
    guard !isEmpty else { return }
    var inPlace: [(new: any NewRowFile, memory: FileMemory)] = []
    var shared: [(new: any NewRowFile, tensor: Tensor)] = []
    var others: [(file: RowFile, tensor: Tensor)] = []
    for (result, target) in sorted {
      guard let tensor = try find(result) else {
        throw CoixError.argument(
          "files: there is no such thing as \(result), which \(target.file.path) is to have")
      }
      if let memory = tensor.memory(in: target.new) {
        inPlace.append((target.new, memory))
      } else if population.isSharedInFiles(tensor) {
        // What the last stage has written may be what is gathered now.
        let new = target.new.isBlank ? target.new : try target.file.open(on: ranks)
        try population.bringFileRows(of: tensor)
        shared.append((new, tensor))
      } else {
        others.append((target.file, try tensor.validated()))
      }
    }
    try ranks.onEach {
      inPlace += try shared.map { ($0.new, try population.fileRows(of: $0.tensor, in: $0.new)) }
    }
    for (_, memory) in inPlace { try memory.completeBlocks() }
    // What all ranks have, the first one writes.
    var finishOthers: [() throws -> Void] = []
    try ranks.onFirst { finishOthers = try others.map { try $0.file.write($0.tensor, of: population) } }
    try ranks.onEach {
      for (new, memory) in inPlace {
        try memory.close()
        try new.sync()
      }
    }
    try ranks.onFirst {
      for (new, memory) in inPlace { try new.finish(bytes: memory.fileBytes) }
      for finish in finishOthers { try finish() }
    }
  }

  /// Whether a tensor of the output goes to a file.
  func haveOutput(named name: String) -> Bool { targets[.output(name)] != nil }

  /// What stands in the result instead of a tensor that is in a file.
  func replacement(of result: RowResult) -> Tensor? {
    targets[result].map { .failed(.argument("\(result) went to the file \($0.file.path)")) }
  }
}
