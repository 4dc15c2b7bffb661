import CoixParallel
import Synchronization

/// The state of an evaluation: registers, which hold the inputs and outputs of programs, and a recorder for
/// each open scope.
///
/// Each chunk of a stage runs on a copy, whose tensors have the chunk's rows. At a barrier they have all rows
/// of the plate.
final class Machine: @unchecked Sendable {
  // @unchecked: used by one thread at a time; a barrier hands a copy to each chunk.

  /// A register's value, and whether its tensors have their chunk's rows already or are yet to be loaded.
  private struct Slot {
    var value: Value
    var isLocal: Bool
  }

  /// By register number; nil for those that are free.
  private var registers: [Slot?]
  /// The output, if the caller wants none. Its tensors stay in the chunk; its type and structure are still
  /// needed.
  var unkeptOutput: Value?
  /// By scope number; nil for scopes that are not open.
  ///
  /// The copy of a machine shares the recorders of the original. It makes its own copy of a recorder when it
  /// first asks for it (``recorder(_:)``), since most of them belong to programs that the stage has nothing
  /// to do with.
  private var recorders: [Recorder?]
  private let id = lastID.wrappingAdd(1, ordering: .relaxed).newValue
  private static let lastID = Atomic<UInt64>(0)
  /// Keys that were drawn for later use, by scope.
  var keys: [Scope: PRNGKey] = [:]
  /// The plates' rows, particles first; empty outside of plates.
  let batch: [Int]
  /// Whether the first of them are particles.
  let hasParticles: Bool
  /// The context of the chunk; nil at a barrier.
  private var context: ExecutionContext?
  let checks: CheckLevel
  /// Whether steps are reported.
  let reportsSteps: Bool
  /// Whether log-weights keep their terms, one for each site, so that an error in the weights can name a
  /// site.
  let keepsWeightTerms: Bool

  /// For each reader of sites whether it reads any.
  private let reading: [Bool]

  /// The state before the first stage.
  init(for code: StageCode, _ settings: EvaluationSettings) {
    reading = code.readers.reading(
      callerReads: settings.options.keep == .everything || !settings.latents.isEmpty || settings.path != nil
        || settings.options.files.keys.contains(where: \.isOfSite))
    reportsSteps = settings.options.steps
    keepsWeightTerms = settings.keepsWeightTerms
    checks = settings.options.checks ? .everything : keepsWeightTerms ? .sources : .uniformParameters
    registers = Array(repeating: nil, count: code.registerCount)
    recorders = Array(repeating: nil, count: code.scopeCount)
    registers[Register.input.index] = Slot(value: settings.input, isLocal: false)
    recorders[Scope.root.index] = Recorder(
      key: settings.key, machine: id, takesLatents: true, checks: checks)
    batch = []
    hasParticles = false
    context = nil
  }

  /// A copy for a chunk, or for a stage without one.
  init(copying other: Machine, batch: [Int], hasParticles: Bool, context: ExecutionContext? = nil) {
    registers = other.registers
    recorders = other.recorders
    keys = other.keys
    checks = other.checks
    reportsSteps = other.reportsSteps
    keepsWeightTerms = other.keepsWeightTerms
    reading = other.reading
    self.batch = batch
    self.hasParticles = hasParticles
    self.context = context
    context?.checksIndices = checks == .everything
  }

  var particleCount: Int { hasParticles ? batch.first ?? 1 : 1 }

  // MARK: Registers

  /// The value of a register, which is free again afterwards. (The evaluation's input stays.)
  func take(_ register: Register) throws -> Value {
    guard let slot = registers[register.index] else {
      throw CoixError.illFormedProgram("a combinator reads a value twice")
    }
    release(register)
    return slot.isLocal ? slot.value : try local(slot.value)
  }

  /// The tensor of a name in a register's value; nil if there is none.
  func tensor(_ name: String, in register: Register) -> Tensor? {
    registers[register.index]?.value.namedTensors.first { $0.name == name }?.tensor
  }

  /// Sets a register. Within a chunk the value has the chunk's rows, unless `isLocal` is false.
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

  /// The mapped tensors whose rows the chunk has loaded, with these rows.
  private var loaded: [(mapped: Tensor, rows: Tensor)] = []

  private func local(_ tensor: Tensor, _ context: ExecutionContext) -> Tensor {
    guard tensor.isMapped else { return tensor }
    if let known = loaded.first(where: { $0.mapped.isSameMapped(as: tensor) }) { return known.rows }
    let rows = context.local(tensor)
    loaded.append((tensor, rows))
    return rows
  }

  /// The mapped tensor that these rows were loaded from; nil for a tensor that was computed.
  func mapped(_ tensor: Tensor) -> Tensor? {
    loaded.first { $0.rows.isSame(as: tensor) }?.mapped
  }

  /// A tensor with its chunk's rows.
  func local(_ tensor: Tensor) -> Tensor { context.map { local(tensor, $0) } ?? tensor }

  /// Loads the chunk's input, and searches it for NaN if checks are on.
  func loadInput() throws {
    guard let input = registers[Register.input.index]?.value else { return }
    let loaded = try local(input)
    set(.input, loaded)
    guard checks > .uniformParameters, let context else { return }
    // That may be right, under a mask; what it breaks is found later.
    for (name, tensor) in loaded.namedTensors {
      if let (row, _) = tensor.firstRow(where: \.isNaN) {
        context.brokenInput = .notANumber(
          source: "input \(name)", at: RowLocation(row: tensor.isBatched ? row : context.firstRow))
        return
      }
    }
  }

  // MARK: Scopes

  /// Gives values to latent sites of the evaluation itself.
  func give(_ latents: [Site]) throws {
    for index in recorders.indices where recorders[index]?.takesLatents == true {
      try recorder(Scope(index: index)).give(latents)
    }
  }

  /// Opens a scope whose key stream starts with `key`.
  func open(_ scope: Scope, key: PRNGKey) {
    recorders[scope.index] = Recorder(key: key, machine: id, checks: checks)
  }

  /// Opens a scope whose key stream starts with the next key of another scope's.
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

  /// The recorder of an open scope. If the machine shares it with another one, the first call makes a copy.
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

  /// The sites of a scope after its program has run, without the suffixes that all versions of a variable
  /// have.
  func finishedTrace(_ scope: Scope) throws -> Trace {
    var trace = Trace(try recorder(scope).sites)
    trace.desuffix()
    return trace
  }

  /// Throws what went wrong in the tensors of the program that has just run; stops the chunk if it has handed
  /// out more memory than it may, so that the plate is cut into smaller ones.
  func checkFailure() throws {
    guard let context = context ?? ExecutionContext.current else { return }
    try context.checkBudget()
    try context.throwFailure()
  }

  /// Whether a reader of sites reads any.
  func reads(_ reader: TraceReader) -> Bool { reading[reader.index] }

  /// Lets go of the sites of a scope, all of which are in a weight, if nobody reads them there. (The program
  /// takes as many keys where it is replayed as with them.)
  func dropUnread(_ scope: Scope, _ reader: TraceReader) throws {
    let recorder = try recorder(scope)
    guard !reads(reader), recorder.metrics?.logWeight != nil else { return }
    recorder.metrics?.forgottenDraws += recorder.recorded.latentCount
    recorder.recorded = RecordedSites()
  }

  // MARK: Leaving the chunk

  /// Turns the machine of a chunk that has been merged into that of the whole plate.
  func leaveChunk() {
    context = nil
    loaded = []
    for index in registers.indices { registers[index]?.isLocal = false }
  }

  /// Calls `body` with the recorders that this machine has copied. The tensors of the others already have all
  /// rows.
  private func forEachOwnRecorder(_ body: (Recorder) throws -> Void) rethrows {
    for case let recorder? in recorders where recorder.machine == id { try body(recorder) }
  }

  /// Visits all tensors that may have a chunk's rows, in a fixed order.
  func visit(_ body: (ExportKind, inout Tensor) throws -> Void) throws {
    for index in registers.indices where index != Register.input.index {
      guard let value = registers[index]?.value else { continue }
      registers[index]?.value = try Self.visited(value, body)
    }
    try forEachOwnRecorder { recorder in
      try recorder.recorded.forEachRecent { site in
        try body(.rows, &site.value)
        try body(.rows, &site.logProb)
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

  /// The names of the sites, which must be the same in every chunk. (Past ones are.)
  var signature: [SiteName] {
    var names: [SiteName] = []
    forEachOwnRecorder { for site in $0.recorded.recent { names.append(site.key) } }
    return names
  }

  /// Replaces the tensors of a register, and of the sites of a scope: those that are gathered.
  func gather(_ register: Register, _ scope: Scope, _ transform: (Tensor) -> Tensor) throws {
    // Reading all sites leaves no past ones.
    _ = try recorder(scope).sites
    try gatherRecent(register, scope, transform)
  }

  /// The same without the sites of the past.
  func gatherRecent(_ register: Register, _ scope: Scope, _ transform: (Tensor) -> Tensor) throws {
    if let value = registers[register.index]?.value {
      set(register, try value.mapTensors(transform))
    }
    try recorder(scope).recorded.forEachRecent { site in
      site.value = transform(site.value)
      site.logProb = transform(site.logProb)
    }
  }

  /// Computes, in every open scope, the metrics that waited for the barrier.
  func resolveMetrics(_ resolve: (inout RunningMetrics) throws -> Void) throws {
    try forEachOwnRecorder { recorder in
      guard var metrics = recorder.metrics.take() else { return }
      try resolve(&metrics)
      recorder.metrics = metrics
    }
  }
}
