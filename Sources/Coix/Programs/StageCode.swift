import CoixParallel

/// Where a program's input or output is kept while an evaluation runs.
struct Register: Hashable, Sendable {
  let index: Int
  /// The evaluation's own input, kept throughout.
  static let input = Register(index: 0)
}

/// An evaluation's or a nested evaluation's sites.
struct Scope: Hashable, Sendable {
  let index: Int
  /// The evaluation itself.
  static let root = Scope(index: 0)
}

/// An evaluation as a list of stages, which the combinators write before anything runs.
///
/// Within a stage a worker runs all instructions on one chunk before it takes the next. A barrier, which needs all particles,
/// ends a stage.
struct StageCode: Sendable {
  typealias Instruction = @Sendable (Machine) throws -> Void
  typealias Barrier = @Sendable (Machine, BarrierContext) throws -> Void

  /// Instructions, then what happens at the barrier behind them.
  struct Stage: Sendable {
    var plates: [Plate]
    var instructions: [Instruction] = []
    var barrier: Barrier?
    /// Whether any instruction looks at rows; without, the stage needs no walk through the chunks.
    var hasRowWork = false
    /// Whether any program of the stage takes the evaluation's own input: where none does, data need not fit the plates.
    var readsInput = false
  }

  private(set) var stages: [Stage]
  private(set) var registerCount = 1
  private(set) var scopeCount = 1
  /// The plates that programs must have from here on; nil before the first program.
  private var plates: [Plate]?
  /// Whether every loss so far can be taken particle by particle if its incoming weights are equal.
  private(set) var hasRowLosses = false
  private(set) var hasOtherLosses = false

  /// Whether values are given to sites, so that handing sites on may have to look at rows.
  private let hasLatents: Bool

  init(hasLatents: Bool = false) {
    stages = [Stage(plates: [])]
    self.hasLatents = hasLatents
  }

  mutating func makeRegister() -> Register {
    defer { registerCount += 1 }
    return Register(index: registerCount)
  }

  mutating func makeScope() -> Scope {
    defer { scopeCount += 1 }
    return Scope(index: scopeCount)
  }

  mutating func append(_ instruction: @escaping Instruction) {
    stages[stages.count - 1].instructions.append(instruction)
    stages[stages.count - 1].hasRowWork = true
  }

  /// Notes what a program of this stage takes.
  mutating func noteRead(_ register: Register) {
    if register == .input { stages[stages.count - 1].readsInput = true }
  }

  /// Adds an instruction that only hands values on, whether they are a chunk's or the whole plate's.
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
      case .one: plates = Array(instances)
      }
    }
    stages.append(Stage(plates: plates ?? []))
  }

  mutating func note(_ objective: Objective) {
    if objective.rowLoss == nil { hasOtherLosses = true } else { hasRowLosses = true }
  }

  /// Whether a program that comes next runs within a plate.
  var isPlated: Bool { !(plates ?? []).isEmpty }

  /// Notes the plates around a primitive program: they must be those of the others.
  mutating func require(_ found: [Plate]) throws {
    for plate in found {
      guard plate.count >= 1 else { throw CoixError.emptyPlate(name: plate.name, count: plate.count) }
      guard plate.chunkRows ?? 1 >= 1 else {
        throw CoixError.argument("plate \"\(plate.name)\": chunkRows must be at least 1")
      }
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
