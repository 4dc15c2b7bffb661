import Coix

/// Makes programs of the expressions in the file `core`.
struct CoreInterpreter: Sendable {
  private static let objectives: [String: Objective] = [
    "apg_loss": .apg, "avo_loss": .avo, "elbo_loss": .elbo, "fkl_loss": .fkl, "iwae_loss": .iwae,
    "rkl_loss": .rkl,
    "rws_loss": .rws,
  ]

  let definitions: CoreDefinitions
  /// The plate around what is written P(…); nil where P(p) is p.
  let plate: Plate?
  /// The plate within, for definitions whose every site stands in one: the data's.
  var instances: Plate?
  /// What `p` means in the body of a loop.
  private var loopProgram: AnyProgram?

  init(definitions: CoreDefinitions, plate: Plate?, instances: Plate? = nil) {
    self.definitions = definitions
    self.plate = plate
    self.instances = instances
  }

  func program(_ expression: CoreExpression) throws -> AnyProgram {
    switch expression {
    case .name("p"): return try loopProgram ?? definitions.program("p")
    case .name(let name): return try definitions.program(name)
    case .call(let function, let list): return try program(function, Arguments(list))
    default: throw GoldenError("core: \(expression) is no program")
    }
  }

  private func program(_ function: String, _ arguments: Arguments) throws -> AnyProgram {
    switch function {
    case "P":
      try arguments.require(count: 1, labels: [])
      let inner = try program(arguments.positional[0])
      return try plate.map { try $0(inner) } ?? inner
    case "B":
      try arguments.require(count: 1, labels: [])
      var inner = try program(arguments.positional[0])
      if let instances, !arguments.positional[0].names.isDisjoint(with: CoreDefinitions.instanced) {
        inner = try instances(inner)
      }
      return try plate.map { try $0(inner) } ?? inner
    case "suffix":
      try arguments.require(count: 1, labels: [])
      return suffix(try program(arguments.positional[0]))
    case "extend":
      try arguments.require(count: 2, labels: [])
      return try AnyProgram.extend(
        try program(arguments.positional[0]), try program(arguments.positional[1]))
    case "fori_loop":
      try arguments.require(count: 4, labels: [])
      guard case .number(let lower) = arguments.positional[0],
        case .number(let upper) = arguments.positional[1],
        lower <= upper, case .name(let name) = arguments.positional[2]
      else { throw GoldenError("core: fori_loop needs two numbers and a body's name") }
      let body = try definitions.loopBody(name)
      return AnyProgram.foriLoop(lower..<upper, initial: try program(arguments.positional[3])) { _, program in
        var inside = self
        inside.loopProgram = program
        return try inside.program(body)
      }
    case "compose":
      try arguments.require(count: 2, labels: ["suffix"])
      return AnyProgram.compose(
        try program(arguments.positional[0]), try program(arguments.positional[1]),
        suffix: try arguments.flag("suffix") ?? true)
    case "propose":
      try arguments.require(count: 2, labels: ["loss_fn", "detach", "chain"])
      return try AnyProgram.propose(
        try program(arguments.positional[0]), try program(arguments.positional[1]),
        loss: try objective(arguments),
        detach: try arguments.flag("detach") ?? false, chain: try arguments.flag("chain") ?? false)
    case "resample":
      try arguments.require(count: 1, labels: ["num_samples"])
      return AnyProgram.resample(try program(arguments.positional[0]), count: try count(arguments))
    default: throw GoldenError("core: unknown function \(function)")
    }
  }

  private func objective(_ arguments: Arguments) throws -> Objective? {
    guard let value = arguments.labelled["loss_fn"] else { return nil }
    guard case .name(let name) = value else { throw GoldenError("core: \(value) is no loss function") }
    return try Self.objectives.entry(name)
  }

  private func count(_ arguments: Arguments) throws -> ParticleCount {
    switch arguments.labelled["num_samples"] {
    case nil: return .same
    case .number(let count)?: return .exactly(count)
    case .empty?: return .one
    case let value?: throw GoldenError("core: \(value) is no number of samples")
    }
  }

  /// A call's arguments.
  private struct Arguments {
    let positional: [CoreExpression]
    let labelled: [String: CoreExpression]

    init(_ list: [CoreExpression.Argument]) throws {
      positional = list.filter { $0.label == nil }.map(\.value)
      labelled = try Dictionary(
        list.compactMap { argument in argument.label.map { ($0, argument.value) } },
        uniquingKeysWith: { _, _ in throw GoldenError("core: an argument is given twice") })
    }

    func require(count: Int, labels: Set<String>) throws {
      guard positional.count == count, labels.isSuperset(of: labelled.keys) else {
        throw GoldenError("core: unexpected arguments \(self)")
      }
    }

    func flag(_ label: String) throws -> Bool? {
      switch labelled[label] {
      case nil: return nil
      case .flag(let flag)?: return flag
      case let value?: throw GoldenError("core: \(value) is no flag")
      }
    }
  }
}
