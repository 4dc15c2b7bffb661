import CoixParallel

/// Where a program's input or output is kept while an evaluation runs: the number of a slot in the
/// ``Machine``.
struct Register: Hashable, Sendable {
  let index: Int
  /// The evaluation's own input, kept throughout.
  static let input = Register(index: 0)
}

/// Where programs have their sites. An evaluation has a scope of its own (the root), and combinators such as
/// ``propose(_:_:loss:detach:)`` run the programs within them in further scopes.
struct Scope: Hashable, Sendable {
  let index: Int
  /// The evaluation itself.
  static let root = Scope(index: 0)
}

/// Something that one program of an evaluation may take, once: a run that has finished, say.
final class Offer: Sendable {}

/// An evaluation as a list of stages, which the combinators write before anything runs.
///
/// Within a stage a worker runs all instructions on one chunk before it takes the next. A barrier, which
/// needs all particles, ends a stage.
struct StageCode: Sendable {
  typealias Instruction = @Sendable (Machine) throws -> Void
  typealias Barrier = @Sendable (Machine, BarrierContext) throws -> Void

  /// Instructions, then what happens at the barrier behind them.
  struct Stage: Sendable {
    var plates: [Plate]
    /// Whether the first plate is the particles'.
    var hasParticles: Bool
    var instructions: [Instruction] = []
    var barrier: Barrier?
    /// Whether any instruction looks at rows. If none does, the stage runs once, without a walk through the
    /// chunks.
    var hasRowWork = false
    /// Whether any program of the stage takes the evaluation's own input. If none does, data need not fit the
    /// plates.
    var readsInput = false
  }

  private(set) var stages: [Stage]
  /// The register of the output of the program that was emitted last.
  var output = Register.input
  private(set) var registerCount = 1
  private(set) var scopeCount = 1
  private var freeRegisters: [Register] = []
  private var freeScopes: [Scope] = []
  /// Who reads the sites of programs that have run.
  var readers = TraceReaders()
  /// The offers that nobody has accepted yet.
  private var offers: Set<ObjectIdentifier> = []

  /// What is still to be emitted.
  private enum Task: Sendable {
    case program(ProgramNode, Place)
    case rest(@Sendable (inout StageCode) throws -> Void)
  }

  /// What the program that is being emitted has scheduled so far, in order.
  private var scheduled: [Task] = []
  /// The plates that programs must have from here on; nil before the first program.
  private var plates: [Plate]?
  /// Whether a resampling to a single particle has dropped the particle axis.
  private(set) var isSingle = false
  /// Whether there is a loss that is a sum of terms which need one particle each (``Objective/rowLoss``).
  private(set) var hasRowLosses = false
  /// Whether there is a loss of another kind.
  private(set) var hasOtherLosses = false

  private var proposeCount = 0
  private var resampleCount = 0

  /// Whether the caller gives values to sites. Handing sites on then looks at rows, since a given value
  /// changes log-probabilities.
  private let hasLatents: Bool

  /// Whether the stages are those of a trial, with a few rows of each plate.
  let isTrial: Bool

  init(hasLatents: Bool = false, isTrial: Bool = false) {
    stages = [Stage(plates: [], hasParticles: false)]
    self.hasLatents = hasLatents
    self.isTrial = isTrial
  }

  // MARK: Trials

  /// How many rows a plate has here: all of so many, or those of a trial.
  func cut(_ count: Int) -> Int { isTrial ? min(count, 2) : count }

  /// The plate as it is here.
  func cut(_ plate: Plate) -> Plate {
    isTrial ? Plate(plate.name, count: cut(plate.count), chunkRows: plate.chunkRows) : plate
  }

  /// Data mapped over a plate, as the rows of some plates here read it.
  ///
  /// - Throws: as for data of all rows.
  func placed(_ tensor: Tensor, in plates: [Plate]) throws(CoixError) -> Tensor {
    guard isTrial, let rows = tensor.mappedOver?.rows else { return try tensor.placed(in: plates) }
    return try tensor.standIn(rows: cut(rows)).placed(in: plates)
  }

  // MARK: Emitting

  /// Emits a program and all programs within it.
  mutating func emit(_ program: ProgramNode, _ place: Place) throws {
    var pending = [Task.program(program, place)]
    while let task = pending.popLast() {
      switch task {
      case .program(let program, let place): try program.emit(into: &self, place)
      case .rest(let emit): try emit(&self)
      }
      while let next = scheduled.popLast() { pending.append(next) }
    }
  }

  /// Schedules a program within the one that is being emitted.
  mutating func run(_ program: ProgramNode, _ place: Place) { scheduled.append(.program(program, place)) }

  /// Schedules what comes after the program that was scheduled last.
  mutating func then(_ emit: @escaping @Sendable (inout StageCode) throws -> Void) {
    scheduled.append(.rest(emit))
  }

  // MARK: Registers and scopes

  mutating func makeRegister() -> Register {
    if let register = freeRegisters.popLast() { return register }
    defer { registerCount += 1 }
    return Register(index: registerCount)
  }

  /// Notes that a register is read for the last time by what has been emitted so far.
  mutating func free(_ register: Register) {
    if register != .input { freeRegisters.append(register) }
  }

  /// A second register with the same value, for a value that two programs read. The evaluation's own input is
  /// never freed and needs no second register.
  mutating func copy(_ register: Register) -> Register {
    guard register != .input else { return register }
    let copy = makeRegister()
    appendBookkeeping { $0.copy(register, to: copy) }
    return copy
  }

  /// Lets go of a value that nobody reads.
  mutating func discard(_ register: Register) {
    guard register != .input else { return }
    appendBookkeeping { $0.release(register) }
    free(register)
  }

  mutating func makeScope() -> Scope {
    if let scope = freeScopes.popLast() { return scope }
    defer { scopeCount += 1 }
    return Scope(index: scopeCount)
  }

  /// Notes that a scope is closed by what has been emitted so far.
  mutating func free(_ scope: Scope) { freeScopes.append(scope) }

  /// Notes that from here on one program may take what the offer stands for.
  mutating func offer(_ offer: Offer) { offers.insert(ObjectIdentifier(offer)) }

  /// Whether the offer stands; it no longer does afterwards.
  mutating func accept(_ offer: Offer) -> Bool { offers.remove(ObjectIdentifier(offer)) != nil }

  // MARK: Stages

  mutating func append(_ instruction: @escaping Instruction) {
    stages[stages.count - 1].instructions.append(instruction)
    stages[stages.count - 1].hasRowWork = true
  }

  /// Notes which register a program of this stage reads.
  mutating func noteRead(_ register: Register) {
    if register == .input { stages[stages.count - 1].readsInput = true }
  }

  /// Adds an instruction that only hands values on, so that it can run on whole-plate tensors as well as in a
  /// chunk.
  mutating func appendBookkeeping(_ instruction: @escaping Instruction) {
    stages[stages.count - 1].instructions.append(instruction)
    if hasLatents { stages[stages.count - 1].hasRowWork = true }
  }

  /// Ends the stage.
  ///
  /// - Parameter count: how many particles there are behind the barrier.
  mutating func appendBarrier(_ count: ParticleCount, _ barrier: @escaping Barrier) {
    stages[stages.count - 1].barrier = barrier
    if let particles = plates?.first {
      let instances = plates?.dropFirst() ?? []
      switch count {
      case .same: break
      case .exactly(let count):
        plates = [Plate(particles.name, count: count, chunkRows: particles.chunkRows)] + instances
      case .one:
        plates = Array(instances)
        isSingle = true
      }
    }
    stages.append(Stage(plates: plates ?? [], hasParticles: hasParticles))
  }

  /// Notes that there is no particle axis from here on: the plates are those of instances alone.
  mutating func dropParticles() {
    isSingle = true
    stages[stages.count - 1].hasParticles = false
  }

  mutating func note(_ objective: Objective) {
    if objective.rowLoss == nil { hasOtherLosses = true } else { hasRowLosses = true }
  }

  /// Notes that gradients are taken row by row, which must wait for the whole plate.
  mutating func noteRowGradients() { hasOtherLosses = true }

  /// How many particles the next program has; nil without a particle axis.
  var particleCount: Int? { hasParticles ? plates?.first?.count : nil }

  /// The plates of the last stage, outermost first.
  var lastPlates: [Plate] { plates ?? [] }

  /// Whether the next program has a particle axis.
  var hasParticles: Bool { !isSingle && !(plates ?? []).isEmpty }

  /// The number of the next step of a kind, counted from 1, for its name.
  mutating func nextNumber(of kind: StepMetrics.Kind) -> Int {
    switch kind {
    case .propose:
      proposeCount += 1
      return proposeCount
    case .resample:
      resampleCount += 1
      return resampleCount
    }
  }

  /// Notes the plates around a closure. All closures between two barriers need the same ones.
  mutating func require(_ found: [Plate]) throws {
    for plate in found {
      guard plate.count >= 1 else { throw CoixError.emptyPlate(name: plate.name, count: plate.count) }
      guard plate.chunkRows ?? 1 >= 1 else {
        throw CoixError.argument("plate \"\(plate.name)\": chunkRows must be at least 1")
      }
      try plate.requireRows()
    }
    if let inner = found.dropFirst().first(where: { $0.part != nil }) {
      throw CoixError.argument(
        "plate \"\(inner.name)\": some rows of a plate cannot stand within another plate")
    }
    if let outer = found.first, found.count > 1, outer.count == 1, outer.part?.whole ?? 1 > 1 {
      throw CoixError.argument(
        "plate \"\(outer.name)\": around other plates, it takes more than one of its rows")
    }
    guard let plates else {
      if let twice = found.indices.dropFirst().first(where: {
        found[..<$0].map(\.name).contains(found[$0].name)
      }) {
        throw CoixError.illFormedProgram(
          "plate \"\(found[twice].name)\" stands inside a plate of the same name; nested plates need different ones"
        )
      }
      self.plates = found
      let (_, overflow) = found.reduce((1, false)) {
        ($0.0 &* $1.count, $0.1 || $0.0.multipliedReportingOverflow(by: $1.count).overflow)
      }
      guard !overflow else { throw CoixError.memory(what: "the plates' rows", bytes: .max) }
      stages[stages.count - 1].plates = found
      stages[stages.count - 1].hasParticles = hasParticles
      return
    }
    guard plates.count == found.count,
      zip(plates, found).allSatisfy({ $0.name == $1.name && $0.count == $1.count })
    else {
      func list(_ plates: [Plate]) -> String {
        plates.isEmpty ? "no plate" : plates.map { "\"\($0.name)\" of \($0.count)" }.joined(separator: " × ")
      }
      throw CoixError.unequalPlates([list(plates), list(found)])
    }
  }
}
