import CoixParallel

/// The state of an evaluation: registers with inputs and outputs, and the open scopes.
///
/// In a chunk its tensors are the chunk's; at a barrier those of the whole plate, mapped over it.
final class Machine: @unchecked Sendable {
  // @unchecked: used by one thread at a time; a barrier hands a copy to each chunk.

  private var registers: [Register: any TensorTree]
  private var recorders: [Scope: Recorder]
  /// Keys drawn for later use, by scope.
  var keys: [Scope: PRNGKey] = [:]
  /// The plate's rows, particles first; empty outside of plates.
  let batch: [Int]
  /// The context of the chunk; nil at a barrier.
  private let context: ExecutionContext?
  let checks: Bool

  init(input: any TensorTree, key: PRNGKey, checks: Bool) {
    registers = [.input: input]
    recorders = [.root: Recorder(key: key, checks: checks)]
    batch = []
    context = nil
    self.checks = checks
  }

  /// A copy for a chunk, or for a barrier with other plates.
  init(copying other: Machine, batch: [Int], context: ExecutionContext?) {
    registers = other.registers
    recorders = other.recorders.mapValues { Recorder(copying: $0) }
    keys = other.keys
    checks = other.checks
    self.batch = batch
    self.context = context
  }

  var isPlated: Bool { !batch.isEmpty }
  var particleCount: Int { batch.first ?? 1 }

  // MARK: Registers

  /// The value of a register, which is thereby free again (but for the evaluation's input).
  func take(_ register: Register) throws -> any TensorTree {
    guard let value = registers[register] else {
      throw CoixError.illFormedProgram("a combinator reads a value twice")
    }
    if register != .input { registers[register] = nil }
    return try local(value)
  }

  func set(_ register: Register, _ value: any TensorTree) { registers[register] = value }
  func release(_ register: Register) {
    if register != .input { registers[register] = nil }
  }
  func keepOnly(_ register: Register) { registers = registers.filter { $0.key == register } }

  /// The value with its chunk's rows.
  private func local(_ value: some TensorTree) throws -> any TensorTree {
    guard let context else { return value }
    return try value.mapTensors { self.local($0, context) }
  }

  private var loaded: [LoadKey: Tensor] = [:]
  private struct LoadKey: Hashable {
    let storage: ObjectIdentifier
    let isDetached: Bool
  }

  private func local(_ tensor: Tensor, _ context: ExecutionContext) -> Tensor {
    guard let (identity, isDetached) = tensor.mappedIdentity else { return tensor }
    let key = LoadKey(storage: identity, isDetached: isDetached)
    if let known = loaded[key] { return known }
    let result = context.local(tensor)
    loaded[key] = result
    return result
  }

  /// A tensor with its chunk's rows.
  func local(_ tensor: Tensor) -> Tensor { context.map { local(tensor, $0) } ?? tensor }

  /// The chunk's input, loaded, and looked through for NaN if checks are on.
  func loadInput() throws {
    guard let input = registers[.input] else { return }
    let loaded = try local(input)
    registers[.input] = loaded
    guard checks, let context else { return }
    for (name, tensor) in loaded.namedTensors {
      if let (row, _) = tensor.firstRow(where: \.isNaN) {
        throw CoixError.notANumber(source: "input \(name)", row: tensor.isBatched ? row : context.firstRow)
      }
    }
  }

  // MARK: Scopes

  /// Opens a scope whose stream starts at the next draw of another.
  func open(_ scope: Scope, from outer: Scope, given: [Site] = [], detachesGiven: Bool = false) throws {
    recorders[scope] = Recorder(
      key: try recorder(outer).stream.next(), given: given, detachesGiven: detachesGiven, checks: checks)
  }

  func recorder(_ scope: Scope) throws -> Recorder {
    guard let recorder = recorders[scope] else {
      throw CoixError.illFormedProgram("a combinator uses a scope that is closed")
    }
    return recorder
  }

  func close(_ scope: Scope) { recorders[scope] = nil }

  /// The sites of a scope after its program has run, without superfluous suffixes.
  func finishedTrace(_ scope: Scope) throws -> Trace {
    var trace = Trace(try recorder(scope).sites)
    trace.desuffix()
    return trace
  }

  /// Throws what went wrong in the tensors of the program that has just run, or asks for smaller chunks.
  func checkFailure() throws {
    guard let context = context ?? ExecutionContext.current else { return }
    if let failure = context.failure { throw failure }
    try context.checkBudget()
  }

  // MARK: Leaving the chunk

  /// Visits all tensors, in a fixed order.
  func visit(_ body: (ExportKind, inout Tensor) throws -> Void) throws {
    for register in registers.keys.sorted(by: { $0.index < $1.index }) where register != .input {
      guard let value = registers[register] else { continue }
      registers[register] = try Self.visited(value, body)
    }
    for scope in recorders.keys.sorted(by: { $0.index < $1.index }) {
      guard let recorder = recorders[scope] else { continue }
      try recorder.replaceSites { sites in
        for index in sites.indices {
          try body(.rows, &sites[index].value)
          try body(.rows, &sites[index].logProb)
        }
      }
      if var metrics = recorder.metrics {
        try metrics.visit(body)
        recorder.metrics = metrics
      }
    }
  }

  private static func visited(
    _ value: some TensorTree, _ body: (ExportKind, inout Tensor) throws -> Void
  ) throws -> any TensorTree {
    try value.mapTensors { tensor in
      var tensor = tensor
      try body(.rows, &tensor)
      return tensor
    }
  }

  /// The names of all sites, to compare chunks by.
  var signature: [String] {
    recorders.keys.sorted(by: { $0.index < $1.index }).flatMap { recorders[$0]?.sites.map(\.name) ?? [] }
  }

  /// Visits the tensors of a register, and the sites of a scope: what a resampling gathers.
  func gather(_ register: Register, _ scope: Scope, _ transform: (Tensor) -> Tensor) throws {
    if let value = registers[register] { registers[register] = try Self.visited(value) { $1 = transform($1) } }
    try recorder(scope).replaceSites { sites in
      for index in sites.indices {
        sites[index].value = transform(sites[index].value)
        sites[index].logProb = transform(sites[index].logProb)
      }
    }
  }

  /// The metrics of every open scope, resolved.
  func resolveMetrics(_ resolve: (inout RunningMetrics) throws -> Void) throws {
    for scope in recorders.keys.sorted(by: { $0.index < $1.index }) {
      guard let recorder = recorders[scope], var metrics = recorder.metrics else { continue }
      try resolve(&metrics)
      recorder.metrics = metrics
    }
  }
}
