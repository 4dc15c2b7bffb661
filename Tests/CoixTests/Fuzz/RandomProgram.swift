import Coix
import TestSupport

/// A program made at random of random sites: primitives, combinators around them, plates.
indirect enum RandomProgram: Sendable {
  case primitive([RandomStatement], result: RandomExpression)
  case compose(RandomProgram, RandomProgram, suffix: Bool)
  case extend(RandomProgram, RandomProgram)
  case propose(RandomProgram, RandomProgram, objective: Int, detach: Bool, chain: Bool)
  case resample(RandomProgram, count: ParticleCount, scheme: ResamplingScheme, threshold: Double?)
  case loop(Int, RandomProgram, body: RandomProgram)
  /// The loop's program so far; elsewhere a primitive without sites.
  case earlier
  case handled(Int, RandomProgram)
  /// The program within the first plate, or within both.
  case plate(both: Bool, RandomProgram)

  static let objectives: [Objective?] = [nil, .elbo, .iwae, .rws, .fkl, .rkl, .avo, .apg]

  /// An inference program, most of whose parts are of the levels and in the plates that they should be.
  init(_ random: inout SplitMix) {
    let both = Int.random(in: 0..<3, using: &random) == 0
    self = RandomProgram(
      .inference, depth: Int.random(in: 1..<4, using: &random), inBothPlates: both, &random)
  }

  private init(
    _ level: AnyProgram.Level, depth: Int, inBothPlates both: Bool, _ random: inout SplitMix
  ) {
    func isRare() -> Bool { Int.random(in: 0..<40, using: &random) == 0 }
    func part(_ level: AnyProgram.Level) -> RandomProgram {
      RandomProgram(
        isRare() ? .inference : level, depth: depth - 1, inBothPlates: isRare() ? !both : both, &random)
    }
    guard depth > 0 else {
      let primitive = RandomProgram(
        primitiveWith: Int.random(in: 0..<4, using: &random), observing: level == .target, &random)
      self = isRare() ? primitive : .plate(both: both, primitive)
      return
    }
    let choice = Int.random(in: 0..<10, using: &random)
    switch level {
    case .kernel:
      self = choice < 3 ? .compose(part(.kernel), part(.kernel), suffix: choice > 0) : part(.kernel)
    case .primitive, .target:
      switch choice {
      case 0..<3: self = .extend(part(.target), part(.kernel))
      case 3: self = .compose(part(.target), part(.kernel), suffix: false)
      default: self = part(.target)
      }
    case .inference:
      switch choice {
      case 0..<4:
        // The same statements on both sides half of the time, so that all of their sites meet.
        let proposal = part(Bool.random(using: &random) ? .inference : .kernel)
        let target = Bool.random(using: &random) ? proposal.observing(&random) : nil
        self = .propose(
          target ?? part(.target), proposal,
          objective: Int.random(in: 0..<Self.objectives.count, using: &random),
          detach: Int.random(in: 0..<4, using: &random) == 0, chain: isRare())
      case 4..<6:
        let counts: [ParticleCount] = [.same, .same, .same, .exactly(7), .exactly(40), .one]
        let threshold: Double? = Int.random(in: 0..<3, using: &random) == 0 ? 0.5 : nil
        let count = isRare() ? .exactly(0) : counts.randomElement(using: &random) ?? .same
        self = .resample(
          part(.inference), count: threshold == nil ? count : .same,
          scheme: ResamplingScheme.allCases.randomElement(using: &random) ?? .systematic, threshold: threshold
        )
      case 6: self = .compose(part(.kernel), part(.inference), suffix: true)
      case 7:
        self = .loop(
          Int.random(in: 0..<4, using: &random), part(.inference),
          body: part(.target).reading(.earlier, &random))
      case 8: self = .handled(Int.random(in: 0..<3, using: &random), part(.inference))
      default: self = part(.kernel)
      }
    }
  }

  private init(primitiveWith count: Int, observing observes: Bool, _ random: inout SplitMix) {
    self = .primitive(
      (0..<count).map { RandomStatement(name: "s\($0)", observes: observes, &random) },
      result: RandomExpression(depth: Int.random(in: 0..<2, using: &random), &random))
  }

  /// The same sites, and something observed besides.
  private func observing(_ random: inout SplitMix) -> RandomProgram {
    switch self {
    case .primitive(let statements, let result):
      return .primitive(statements + [RandomStatement(observing: "o", &random)], result: result)
    case .plate(let both, let program): return .plate(both: both, program.observing(&random))
    default: return self
    }
  }

  /// The program with what a loop has so far as the proposal, or before it.
  private func reading(_ earlier: RandomProgram, _ random: inout SplitMix) -> RandomProgram {
    switch Int.random(in: 0..<3, using: &random) {
    case 0:
      return .compose(
        self, .resample(earlier, count: .same, scheme: .systematic, threshold: nil), suffix: true)
    case 1: return .propose(self, earlier, objective: 1, detach: false, chain: false)
    default: return .compose(self, earlier, suffix: true)
    }
  }

  /// The program, with tensors that its primitives read.
  func program(_ parameters: [Tensor], _ plates: (outer: Plate, inner: Plate), earlier: AnyProgram? = nil)
    throws
    -> AnyProgram
  {
    func inside(_ program: RandomProgram) throws -> AnyProgram {
      try program.program(parameters, plates, earlier: earlier)
    }
    switch self {
    case .primitive(let statements, let result):
      if statements.contains(where: \.observes) {
        return AnyProgram(
          Model<[Tensor], [Tensor]>(tree: { trace, input in
            var values = parameters + input
            for statement in statements { statement.run(trace, &values) }
            return [result.value(values)]
          }))
      }
      return AnyProgram(
        Kernel<[Tensor], [Tensor]>(tree: { trace, input in
          var values = parameters + input
          for statement in statements { statement.run(trace, &values) }
          return [result.value(values)]
        }))
    case .compose(let outer, let inner, let suffix):
      return AnyProgram.compose(try inside(outer), try inside(inner), suffix: suffix)
    case .extend(let target, let kernel): return try AnyProgram.extend(try inside(target), try inside(kernel))
    case .propose(let target, let proposal, let objective, let detach, let chain):
      return try AnyProgram.propose(
        try inside(target), try inside(proposal), loss: Self.objectives[objective], detach: detach,
        chain: chain)
    case .resample(let program, let count, let scheme, let threshold):
      return AnyProgram.resample(
        try inside(program), count: count, scheme: scheme, when: threshold.map { .ess(below: $0) } ?? .always)
    case .loop(let rounds, let initial, let body):
      return AnyProgram.foriLoop(0..<rounds, initial: try inside(initial)) { _, program in
        try body.program(parameters, plates, earlier: program)
      }
    case .earlier:
      return earlier ?? AnyProgram(Kernel<[Tensor], [Tensor]>(tree: { _, input in input }))
    case .handled(0, let program): return detach(try inside(program))
    case .handled(1, let program): return stickTheLanding(try inside(program))
    case .handled(_, let program): return suffix(try inside(program))
    case .plate(let both, let program):
      let inner = try inside(program)
      return try plates.outer(both ? try plates.inner(inner) : inner)
    }
  }
}

/// A line of a program: a site, whose value is one more that expressions may read.
struct RandomStatement: Sendable {
  private let name: String
  private let distribution: RandomDistribution
  /// What is observed; nil for a latent site.
  private let observed: RandomExpression?
  /// The local plate around the site.
  private let localPlate: Int?

  var observes: Bool { observed != nil }

  /// - Parameter observes: whether the site may be observed.
  init(name: String, observes: Bool, _ random: inout SplitMix) {
    self.name = name
    distribution = RandomDistribution(&random)
    let isObserved = observes && Int.random(in: 0..<4, using: &random) == 0
    observed = isObserved ? RandomExpression(depth: 1, &random) : nil
    localPlate = Int.random(in: 0..<8, using: &random) == 0 ? 4 : nil
  }

  init(observing name: String, _ random: inout SplitMix) {
    self.name = name
    distribution = RandomDistribution(&random)
    observed = RandomExpression(depth: Int.random(in: 0..<2, using: &random), &random)
    localPlate = nil
  }

  func run(_ trace: KernelTrace, _ values: inout [Tensor]) {
    let trace = localPlate.map { trace.plate("local", $0) } ?? trace
    values.append(trace.sample(name, from: distribution.distribution(values)))
  }

  func run(_ trace: ModelTrace, _ values: inout [Tensor]) {
    let trace = localPlate.map { trace.plate("local", $0) } ?? trace
    if let observed {
      trace.observe(name, observed.value(values), from: distribution.distribution(values))
    } else {
      values.append(trace.sample(name, from: distribution.distribution(values)))
    }
  }
}
