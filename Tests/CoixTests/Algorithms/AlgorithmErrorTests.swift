import Coix
import Testing

/// Lists that don't fit, and counts that make no sense, throw where the program is made; what a step throws
/// comes out of its evaluation.
@Suite struct AlgorithmErrorTests {
  typealias Step = Kernel<Tuple<Tensor>, Tuple<Tensor>>

  static let plate = Plate("particle", count: 10)
  static let target = plate(
    Model { (trace) in
      let x = trace.sample("x", from: Normal(0, 1))
      trace.factor("weight", -x.squared)
      return x
    })
  static let initial = plate(Kernel { (trace) in trace.sample("x", from: Normal(0, 1)) })
  static let kernel: Step = plate(
    Kernel { (trace, x: Tensor) in trace.sample("x", from: Normal(x, 1)) })
  static let momentum = plate(
    Kernel { (trace, x: Tensor) in (x, trace.sample("v", from: Normal(0, 1))) })
  static let move = plate(
    Kernel { (trace, x: Tensor, v: Tensor) in (x, trace.sample("v", from: Normal(v, 1))) })

  static func targets(_ count: Int) -> [Model<Tuple<>, Tuple<Tensor>>] {
    Array(repeating: target, count: count)
  }
  static func kernels(_ count: Int) -> [Step] { Array(repeating: kernel, count: count) }

  // MARK: Lists

  @Test func noTargets() {
    let none = (Self.targets(0), Self.kernels(0))
    #expect(
      message { try aft(targets: none.0, flows: none.1) } == "aft: needs at least one target, has 0")
    #expect(
      message { try nasmc(targets: none.0, initial: Self.initial, proposals: none.1) }
        == "nasmc: needs at least one target, has 0")
    #expect(
      message { try nviFKL(targets: none.0, initial: Self.initial, proposals: none.1) }
        == "nviFKL: needs at least one target, has 0")
    #expect(
      message { try vsmc(targets: none.0, initial: Self.initial, proposals: none.1) }
        == "vsmc: needs at least one target, has 0")
    #expect(
      message { try nviAVO(targets: none.0, forwards: none.1, reverses: none.1) }
        == "nviAVO: needs at least one target, has 0")
    #expect(
      message { try nviRKL(targets: none.0, forwards: none.1, reverses: none.1) }
        == "nviRKL: needs at least one target, has 0")
    #expect(
      message {
        try dais(
          targets: none.0, momentum: Self.momentum, leapfrog: Self.move, refreshment: Self.move)
      } == "dais: needs at least one target, has 0")
  }

  @Test(arguments: [0, 1, 3, 4])
  func listsOfUnequalLengths(_ count: Int) {
    func expected(_ algorithm: String, _ list: String) -> String {
      "\(algorithm): \(list) must be one fewer than targets; there are \(count), and 3 targets"
    }
    let (targets, fit, others) = (Self.targets(3), Self.kernels(2), Self.kernels(count))
    #expect(message { try aft(targets: targets, flows: others) } == expected("aft", "flows"))
    #expect(
      message { try nasmc(targets: targets, initial: Self.initial, proposals: others) }
        == expected("nasmc", "proposals"))
    #expect(
      message { try nviFKL(targets: targets, initial: Self.initial, proposals: others) }
        == expected("nviFKL", "proposals"))
    #expect(
      message { try vsmc(targets: targets, initial: Self.initial, proposals: others) }
        == expected("vsmc", "proposals"))
    #expect(
      message { try nviAVO(targets: targets, forwards: others, reverses: fit) }
        == expected("nviAVO", "forwards"))
    #expect(
      message { try nviAVO(targets: targets, forwards: fit, reverses: others) }
        == expected("nviAVO", "reverses"))
    #expect(
      message { try nviRKL(targets: targets, forwards: others, reverses: fit) }
        == expected("nviRKL", "forwards"))
    #expect(
      message { try nviRKL(targets: targets, forwards: fit, reverses: others) }
        == expected("nviRKL", "reverses"))
  }

  @Test func noGibbsKernels() {
    #expect(
      message { try apgs(Self.target, initial: Self.initial, kernels: Self.kernels(0)) }
        == "apgs: needs at least one kernel")
    #expect(
      message { try apgs(Self.target, initial: Self.initial, kernels: Self.kernels(1), sweeps: -1) }
        == "apgs: the number of sweeps must not be negative, is -1")
  }

  // MARK: Counts

  @Test(arguments: [0, -1, .min])
  func countsBelowOne(_ count: Int) {
    func expected(_ algorithm: String) -> String { "\(algorithm): needs at least one target, has \(count)" }
    let (initial, kernel) = (Self.initial, Self.kernel)
    let target: @Sendable (Int) throws -> Model<Tuple<>, Tuple<Tensor>> = { _ in
      Issue.record("no target should be asked for")
      return Self.target
    }
    #expect(message { try aft(count: count, target: target, flow: { _ in kernel }) } == expected("aft"))
    #expect(
      message { try nasmc(count: count, target: target, initial: initial, proposal: { _ in kernel }) }
        == expected("nasmc"))
    #expect(
      message { try nviFKL(count: count, target: target, initial: initial, proposal: { _ in kernel }) }
        == expected("nviFKL"))
    #expect(
      message { try vsmc(count: count, target: target, initial: initial, proposal: { _ in kernel }) }
        == expected("vsmc"))
    #expect(
      message {
        try nviAVO(count: count, target: target, forward: { _ in kernel }, reverse: { _ in kernel })
      } == expected("nviAVO"))
    #expect(
      message {
        try nviRKL(count: count, target: target, forward: { _ in kernel }, reverse: { _ in kernel })
      } == expected("nviRKL"))
    #expect(
      message {
        try dais(
          count: count, target: target, momentum: Self.momentum, leapfrog: Self.move, refreshment: Self.move)
      } == expected("dais"))
  }

  /// A single target needs no step: what the first step does is all there is.
  @Test(arguments: ["list", "loop"])
  func oneTarget(_ form: String) throws {
    for algorithm in ["nasmc", "nvi_fkl", "vsmc", "aft", "nvi_avo", "nvi_rkl", "dais"] {
      let example = AlgorithmExample.annealed(algorithm, form, count: 1)
      let result = try example.program(Self.plate, at: example.parameters).run(1, EvaluationOptions())
      #expect(result.stageCount == 1)
      let isProposed = ["nasmc", "nvi_fkl", "vsmc"].contains(algorithm)
      // Without a round there is no loss, or that of a loop, 0.
      let loss = (try? result.metrics.loss.scalar) ?? 0
      #expect((loss != 0) == isProposed, "\(algorithm)")
    }
  }

  /// With one target VSMC is importance weighting, and has that bound's loss.
  @Test func vsmcOfOneTarget() throws {
    func loss(_ program: Inference<Tuple<>, Tuple<Tensor>>) throws -> Float {
      try evaluate(program, seed: 2)().metrics.loss.scalar
    }
    let expected = try loss(sviIWAE(Self.target, Self.initial))
    #expect(expected.isFinite && expected != 0)
    #expect(
      try loss(vsmc(targets: [Self.target], initial: Self.initial, proposals: Self.kernels(0))) == expected)
    let kernel = Self.kernel
    #expect(
      try loss(
        vsmc(count: 1, target: { _ in Self.target }, initial: Self.initial, proposal: { _ in kernel }))
        == expected)
  }

  // MARK: Steps

  @Test func aStepThatThrows() throws {
    let (initial, kernel) = (Self.initial, Self.kernel)
    let none = CoixError.argument("no such step")
    #expect(throws: none) {
      try nasmc(
        count: 3, target: { _ -> Model<Tuple<>, Tuple<Tensor>> in throw none }, initial: initial,
        proposal: { _ in kernel })
    }
    let later = try nasmc(
      count: 3, target: { _ in Self.target }, initial: initial,
      proposal: { step in
        guard step < 2 else { throw none }
        return kernel
      })
    #expect(throws: none) { try evaluate(later, seed: 0)() }
  }

  /// What is wrong with a step's weights says where.
  @Test func aStepWithoutWeight() throws {
    let impossible = Self.plate(
      Model { (trace) in
        let x = trace.sample("x", from: Normal(0, 1))
        trace.factor("weight", Tensor(-.infinity))
        return x
      })
    let program = try nasmc(
      targets: [Self.target, impossible, Self.target].map { extend($0, Self.kernel) }, initial: Self.initial,
      proposals: Self.kernels(2))
    let text = message { try evaluate(program, seed: 0)() }
    #expect(text?.hasPrefix(#"at site "weight": stage 2: "#) == true, "\(text ?? "nothing")")
  }
}
