import CoixParallel
import Synchronization

/// The state of an evaluation: registers with inputs and outputs, and the open scopes.
///
/// In a chunk its tensors are the chunk's; at a barrier those of the whole plate, mapped over it.
final class Machine: @unchecked Sendable {
  // @unchecked: used by one thread at a time; a barrier hands a copy to each chunk.

  /// A register's value, and whether its tensors have their chunk's rows already.
  private struct Slot {
    var value: Value
    var isLocal: Bool
  }

  /// By register number; nil for those that are free.
  private var registers: [Slot?]
  /// The output that nobody wants the numbers of: it stays where it is, for its structure.
  var unkeptOutput: Value?
  /// By scope number; nil for scopes that aren't open.
  ///
  /// A copy for a chunk shares them until it asks for one: most belong to programs that the stage knows nothing of.
  private var recorders: [Recorder?]
  private let id = lastID.wrappingAdd(1, ordering: .relaxed).newValue
  private static let lastID = Atomic<UInt64>(0)
  /// Keys drawn for later use, by scope.
  var keys: [Scope: PRNGKey] = [:]
  /// The plates' rows, particles first; empty outside of plates.
  let batch: [Int]
  /// Whether the first of them are particles.
  let hasParticles: Bool
  /// The context of the chunk; nil at a barrier.
  private var context: ExecutionContext?
  let checks: Bool
  /// Whether steps are reported.
  let reportsSteps: Bool
  /// Whether weights keep their terms, so that an error in them can name a site.
  let keepsWeightTerms: Bool

  init(for code: StageCode, input: Value, key: PRNGKey, options: EvaluationOptions, keepsWeightTerms: Bool) {
    (checks, reportsSteps) = (options.checks, options.steps)
    self.keepsWeightTerms = keepsWeightTerms
    registers = Array(repeating: nil, count: code.registerCount)
    recorders = Array(repeating: nil, count: code.scopeCount)
    registers[Register.input.index] = Slot(value: input, isLocal: false)
    recorders[Scope.root.index] = Recorder(key: key, machine: id, checks: checks)
    batch = []
    hasParticles = false
    context = nil
  }

  /// A copy for a chunk, or for a barrier with other plates.
  init(copying other: Machine, batch: [Int], hasParticles: Bool, context: ExecutionContext?) {
    registers = other.registers
    recorders = other.recorders
    keys = other.keys
    checks = other.checks
    reportsSteps = other.reportsSteps
    keepsWeightTerms = other.keepsWeightTerms
    self.batch = batch
    self.hasParticles = hasParticles
    self.context = context
  }

  var particleCount: Int { hasParticles ? batch.first ?? 1 : 1 }

  // MARK: Registers

  /// The value of a register, which is thereby free again (but for the evaluation's input).
  func take(_ register: Register) throws -> Value {
    guard let slot = registers[register.index] else {
      throw CoixError.illFormedProgram("a combinator reads a value twice")
    }
    release(register)
    return slot.isLocal ? slot.value : try local(slot.value)
  }

  /// Sets a register; within a chunk, to a value that has the chunk's rows unless it is said not to.
  func set(_ register: Register, _ value: Value, isLocal: Bool = true) {
    registers[register.index] = Slot(value: value, isLocal: isLocal && context != nil)
  }

  /// Puts a register's value into another one, too.
  func copy(_ register: Register, to other: Register) { registers[other.index] = registers[register.index] }

  func release(_ register: Register) {
    if register != .input { registers[register.index] = nil }
  }

  /// The value with its chunk's rows.
  private func local(_ value: Value) throws -> Value {
    guard let context else { return value }
    return try value.mapTensors { self.local($0, context) }
  }

  /// The mapped tensors that the chunk has loaded, and their rows.
  private var loaded: [(mapped: Tensor, rows: Tensor)] = []

  private func local(_ tensor: Tensor, _ context: ExecutionContext) -> Tensor {
    guard tensor.isMapped else { return tensor }
    if let known = loaded.first(where: { $0.mapped.isSameMapped(as: tensor) }) { return known.rows }
    let rows = context.local(tensor)
    loaded.append((tensor, rows))
    return rows
  }

  /// The mapped tensor that the chunk has loaded as this one; nil for a tensor that was computed.
  func mapped(_ tensor: Tensor) -> Tensor? {
    loaded.first { $0.rows.isSame(as: tensor) }?.mapped
  }

  /// A tensor with its chunk's rows.
  func local(_ tensor: Tensor) -> Tensor { context.map { local(tensor, $0) } ?? tensor }

  /// The chunk's input, loaded, and looked through for NaN if checks are on.
  func loadInput() throws {
    guard let input = registers[Register.input.index]?.value else { return }
    let loaded = try local(input)
    set(.input, loaded)
    guard checks, let context else { return }
    for (name, tensor) in loaded.namedTensors {
      if let (row, _) = tensor.firstRow(where: \.isNaN) {
        throw CoixError.notANumber(
          source: "input \(name)", at: RowLocation(row: tensor.isBatched ? row : context.firstRow))
      }
    }
  }

  // MARK: Scopes

  /// Gives values to latent sites of the evaluation itself.
  func give(_ latents: [Site]) throws { try recorder(.root).give(latents) }

  /// Opens a scope whose stream starts at a key.
  func open(_ scope: Scope, key: PRNGKey) {
    recorders[scope.index] = Recorder(key: key, machine: id, checks: checks)
  }

  /// Opens a scope whose stream starts at the next draw of another.
  func open(_ scope: Scope, from outer: Scope, given: [Site] = [], detachesGiven: Bool = false) throws {
    recorders[scope.index] = Recorder(
      key: try recorder(outer).stream.next(), machine: id, given: given, detachesGiven: detachesGiven,
      checks: checks)
  }

  /// Opens a scope that goes on where another stands, until ``resume(_:after:)``.
  func open(_ scope: Scope, continuing outer: Scope) throws {
    recorders[scope.index] = Recorder(continuing: try recorder(outer))
  }

  /// Closes a scope that has continued another, which goes on from there; returns the closed one.
  func resume(_ outer: Scope, after scope: Scope) throws -> Recorder {
    let inner = try recorder(scope)
    try recorder(outer).resume(after: inner)
    close(scope)
    return inner
  }

  /// The recorder of an open scope: the machine's own, which the first call makes of a shared one.
  func recorder(_ scope: Scope) throws -> Recorder {
    guard let recorder = recorders[scope.index] else {
      throw CoixError.illFormedProgram("a combinator uses a scope that is closed")
    }
    guard recorder.machine != id else { return recorder }
    let own = Recorder(copying: recorder, machine: id)
    recorders[scope.index] = own
    return own
  }

  func close(_ scope: Scope) { recorders[scope.index] = nil }

  /// The sites of a scope after its program has run, without superfluous suffixes.
  func finishedTrace(_ scope: Scope) throws -> Trace {
    var trace = Trace(try recorder(scope).sites)
    trace.desuffix()
    return trace
  }

  /// Throws what went wrong in the tensors of the program that has just run, or asks for smaller chunks.
  func checkFailure() throws {
    guard let context = context ?? ExecutionContext.current else { return }
    try context.checkBudget()
    try context.throwFailure()
  }

  // MARK: Leaving the chunk

  /// Makes the machine of a chunk that has been merged that of the whole plate.
  func leaveChunk() {
    context = nil
    loaded = []
    for index in registers.indices { registers[index]?.isLocal = false }
  }

  /// Calls `body` with the recorders that this machine has touched. What the others hold is the whole plate's already.
  private func forEachOwnRecorder(_ body: (Recorder) throws -> Void) rethrows {
    for case let recorder? in recorders where recorder.machine == id { try body(recorder) }
  }

  /// Visits all tensors that may be a chunk's, in a fixed order.
  func visit(_ body: (ExportKind, inout Tensor) throws -> Void) throws {
    for index in registers.indices where index != Register.input.index {
      guard let value = registers[index]?.value else { continue }
      registers[index]?.value = try Self.visited(value, body)
    }
    try forEachOwnRecorder { recorder in
      try recorder.replaceSites { sites in
        for index in sites.indices {
          try body(.rows, &sites[index].value)
          try body(.rows, &sites[index].logProb)
        }
      }
      try recorder.metrics?.visit(body)
    }
  }

  private static func visited(
    _ value: Value, _ body: (ExportKind, inout Tensor) throws -> Void
  ) throws -> Value {
    try value.mapTensors { tensor in
      var tensor = tensor
      try body(.rows, &tensor)
      return tensor
    }
  }

  /// The names of the sites, to compare chunks by.
  var signature: [SiteName] {
    var names: [SiteName] = []
    forEachOwnRecorder { for site in $0.sites { names.append(site.key) } }
    return names
  }

  /// Visits the tensors of a register, and the sites of a scope: what a resampling gathers.
  func gather(_ register: Register, _ scope: Scope, _ transform: (Tensor) -> Tensor) throws {
    if let value = registers[register.index]?.value {
      set(register, try value.mapTensors(transform))
    }
    try recorder(scope).replaceSites { sites in
      for index in sites.indices {
        sites[index].value = transform(sites[index].value)
        sites[index].logProb = transform(sites[index].logProb)
      }
    }
  }

  /// The metrics of every open scope, resolved.
  func resolveMetrics(_ resolve: (inout RunningMetrics) throws -> Void) throws {
    try forEachOwnRecorder { recorder in
      guard var metrics = recorder.metrics.take() else { return }
      try resolve(&metrics)
      recorder.metrics = metrics
    }
  }
}
