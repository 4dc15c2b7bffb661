import CoixParallel

/// A program whose level and types are known only when it runs: for programs that are put together at run time.
///
/// Its combinators check what the compiler checks for typed programs, and throw where it would refuse. Values go from program
/// to program as lists of tensors.
public struct AnyProgram: InferenceProgram {
  /// What a program may do; each level is also one of the next.
  public enum Level: Int, Comparable, Sendable {
    case kernel, primitive, target, inference

    public static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }
  }

  public typealias Input = [Tensor]
  public typealias Output = [Tensor]

  public let node: ProgramNode
  /// What the program may do.
  public let level: Level

  fileprivate init(_ emitter: some ProgramEmitter, _ level: Level) {
    self.init(ProgramNode(emitter: emitter), level)
  }

  init(_ node: ProgramNode, _ level: Level) {
    self.node = node
    self.level = level
  }

  /// A kernel with its types erased.
  public init(_ program: some KernelProgram<[Tensor], [Tensor]>) { self.init(program.node, .kernel) }
  /// A model with its types erased.
  public init(_ program: some PrimitiveProgram<[Tensor], [Tensor]>) {
    self.init(program.node, .primitive)
  }
  /// A target with its types erased.
  public init(_ program: some TargetProgram<[Tensor], [Tensor]>) { self.init(program.node, .target) }
  /// The same program.
  public init(_ program: AnyProgram) { self = program }
  /// An inference program with its types erased.
  public init(_ program: some InferenceProgram<[Tensor], [Tensor]>) {
    self.init(program.node, .inference)
  }

  /// Runs `inner`, then `outer`; see <doc:Compose>.
  public static func compose(_ outer: AnyProgram, _ inner: AnyProgram, suffix: Bool = true) -> AnyProgram {
    let highest = max(outer.level, inner.level)
    let level: Level = highest == .kernel ? .kernel : highest <= .target ? .target : .inference
    return AnyProgram(ComposeEmitter(outer: outer.node, inner: inner.node, suffix: suffix), level)
  }

  /// Runs `target`, then `kernel` on its output; see ``extend(_:_:)``.
  ///
  /// - Throws: `CoixError.illFormedProgram(_:)` unless they are a target and a kernel.
  public static func extend(_ target: AnyProgram, _ kernel: AnyProgram) throws -> AnyProgram {
    try target.require(target.level <= .target, "extend needs a target; an inference program has no density")
    try kernel.require(
      kernel.level == .kernel, "extend needs a kernel, which only samples, for auxiliary variables")
    return AnyProgram(ExtendEmitter(target: target.node, kernel: kernel.node), .target)
  }

  /// Weights a proposal for a target; see ``propose(_:_:loss:detach:)``. With `chain`, the target takes the proposal's output.
  ///
  /// - Throws: `CoixError.illFormedProgram(_:)` if the target is an inference program.
  public static func propose(
    _ target: AnyProgram, _ proposal: AnyProgram, loss: Objective? = nil, detach: Bool = false,
    chain: Bool = false
  ) throws -> AnyProgram {
    try target.requireDensity(for: "propose")
    return AnyProgram(
      ProposeEmitter(
        target: target.node, proposal: proposal.node, objective: loss, detach: detach, isChained: chain),
      .inference)
  }

  /// Resamples; see ``resample(_:count:scheme:when:)``.
  public static func resample(
    _ program: AnyProgram, count: ParticleCount = .same, scheme: ResamplingScheme = .systematic,
    when condition: ResamplingCondition = .always
  ) -> AnyProgram {
    AnyProgram(
      ResampleEmitter(program: program.node, count: count, scheme: scheme, condition: condition), .inference)
  }

  /// The same, to a number of particles.
  public static func resample(
    _ program: AnyProgram, count: Int, scheme: ResamplingScheme = .systematic,
    when condition: ResamplingCondition = .always
  ) -> AnyProgram {
    resample(program, count: .exactly(count), scheme: scheme, when: condition)
  }

  /// Runs a program that `body` makes, again and again; see ``foriLoop(_:initial:body:)``.
  public static func foriLoop(
    _ rounds: Range<Int>, initial: AnyProgram,
    body: @escaping @Sendable (_ round: Int, _ program: AnyProgram) throws -> AnyProgram
  ) -> AnyProgram {
    AnyProgram(
      LoopEmitter(rounds: rounds, initial: initial.node) { round, node in
        try body(round, AnyProgram(node, .inference)).node
      }, .inference)
  }

  /// Proposes with samples from memory besides fresh ones; see ``memoize(_:_:memory:size:)``.
  ///
  /// - Throws: `CoixError.illFormedProgram(_:)` if the target is an inference program.
  public static func memoize(
    _ target: AnyProgram, _ proposal: AnyProgram, memory: [String: Tensor] = [:], size: Int? = nil
  ) throws -> AnyProgram {
    try target.requireDensity(for: "memoize")
    return AnyProgram(
      MemoizeEmitter(target: target.node, proposal: proposal.node, memory: memory, size: size), .inference)
  }

  /// The program that replays a finished evaluation; see ``empirical(_:)``.
  public static func empirical(_ evaluation: Evaluation<[Tensor]>) -> AnyProgram {
    AnyProgram(EmpiricalEmitter(evaluation), .inference)
  }

  /// The program with the sites of the given names alone; see ``marginal(_:keeping:)``.
  public static func marginal(_ program: AnyProgram, keeping names: [String]) -> AnyProgram {
    AnyProgram(MarginalEmitter(program: program.node, names: names), .inference)
  }

  /// The program with values for some of its latent sites; see ``condition(_:_:)``.
  ///
  /// - Throws: `CoixError.illFormedProgram(_:)` for an inference program.
  public static func condition(_ program: AnyProgram, _ values: [String: Tensor]) throws -> AnyProgram {
    try program.requireDensity(for: "condition")
    return AnyProgram(
      ConditionEmitter(program: program.node, values: values), max(program.level, .primitive))
  }

  /// The program with some sites hidden; see ``block(_:hiding:)``.
  ///
  /// - Throws: `CoixError.illFormedProgram(_:)` for an inference program.
  public static func block(_ program: AnyProgram, hiding names: [String]) throws -> AnyProgram {
    try program.require(
      program.level <= .target, "block needs a target; of an inference program marginal lets go of sites")
    return AnyProgram(BlockEmitter(program: program.node, names: names), program.level)
  }

  /// Runs `program` with latent values from a finished evaluation; see ``predictive(_:from:resampled:)``.
  ///
  /// - Throws: `CoixError.illFormedProgram(_:)` for an inference program.
  public static func predictive(
    _ program: AnyProgram, from evaluation: Evaluation<[Tensor]>, resampled: Bool = true
  ) throws -> AnyProgram {
    try program.requireDensity(for: "predictive")
    return AnyProgram(
      PredictiveEmitter(
        program: program.node, samples: EmpiricalEmitter(evaluation, isNormalized: true),
        isResampled: resampled),
      .inference)
  }

  /// The program with non-reparameterised latent variables; see ``detach(_:)``.
  public static func detach(_ program: AnyProgram) -> AnyProgram {
    AnyProgram(.handling("detach", program) { $0.isDetached = true }, program.level)
  }

  /// The program without gradients to its distributions' parameters; see ``stickTheLanding(_:)``.
  public static func stickTheLanding(_ program: AnyProgram) -> AnyProgram {
    AnyProgram(.handling("stickTheLanding", program) { $0.sticksTheLanding = true }, program.level)
  }

  /// The program with its sites marked as auxiliary; see ``suffix(_:)``.
  public static func suffix(_ program: AnyProgram) -> AnyProgram {
    AnyProgram(.handling("suffix", program) { $0.suffixes += 1 }, program.level)
  }

  /// Throws unless the program's density can be evaluated.
  func requireDensity(for combinator: String) throws {
    try require(
      level <= .target,
      "\(combinator) needs a target with a density; an inference program has none to evaluate")
  }

  fileprivate func require(_ condition: Bool, _ reason: String) throws {
    guard condition else { throw CoixError.illFormedProgram(reason) }
  }
}

extension Plate {
  /// The program for each row of the plate.
  ///
  /// - Throws: `CoixError.illFormedProgram(_:)` for an inference program, whose plates are around its parts.
  public func callAsFunction(_ program: AnyProgram) throws -> AnyProgram {
    try program.require(
      program.level <= .target,
      "a plate goes around kernels, models and targets, not around an inference program")
    return AnyProgram(PlateEmitter(plate: self, program: program.node), program.level)
  }
}
