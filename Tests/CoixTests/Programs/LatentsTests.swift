import Coix
import Testing

/// Values that the caller gives to latent sites.
@Suite struct LatentsTests {
  private static let particles = Plate("particle", count: 4)

  private static let kernel = Kernel { (trace: KernelTrace) in
    trace.sample("x", from: Normal(0, 1))
  }

  private static let target = Model { (trace: ModelTrace) in
    let x = trace.sample("x", from: Normal(0, 2))
    trace.observe("o", 1, from: Normal(x, 1))
    return x
  }

  @Test func sitesTakeWhatIsGiven() throws {
    let values = Tensor([0, 1, 2, 3])
    let latents = ["x": Self.particles.mapped(values)]
    let result = try evaluate(Self.particles(Self.target), latents: latents, seed: 1)()
    #expect(result.output.values.scalars == values.scalars)
    #expect(result.trace["x"]?.logProb.scalars == Normal(0, 2).logProb(of: values).scalars)
    let shared = try evaluate(Self.particles(Self.kernel), latents: ["x": 0.5], seed: 1)()
    #expect(shared.output.values.scalars == [0.5, 0.5, 0.5, 0.5])
  }

  @Test func gradientsFlowToThem() throws {
    let result = try valueWithGradient(at: Tensor([0, 1, 2, 3])) { values in
      let latents = ["x": Self.particles.mapped(values)]
      let evaluation = try evaluate(Self.particles(Self.target), latents: latents, seed: 1)()
      return evaluation.metrics.logWeight.sum()
    }
    #expect(result.gradient.scalars == [1, 0, -1, -2])
  }

  @Test func theyMayVaryOverEitherPlate() throws {
    let instances = Plate("instance", count: 3)
    let program = Self.particles(instances(Self.kernel))
    let byInstance = try evaluate(program, latents: ["x": instances.mapped(Tensor([5, 6, 7]))], seed: 1)()
    #expect(byInstance.output.values.scalars == [5, 6, 7, 5, 6, 7, 5, 6, 7, 5, 6, 7])
    let byParticle = try evaluate(
      program, latents: ["x": Self.particles.mapped(Tensor([1, 2, 3, 4]))], seed: 1)()
    #expect(byParticle.output.values.scalars == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4])
  }

  /// What a combinator replays has all its probability where it is.
  @Test func replayedSitesAreImpossibleElsewhere() throws {
    let proposed = propose(Self.particles(Self.target), Self.particles(Self.kernel))
    for program in [proposed, resample(proposed)] {
      let free = try evaluate(program, seed: 3)()
      let given = try evaluate(program, latents: ["x": 0.25], seed: 3)()
      #expect(given.trace["x"]?.value.scalars == [0.25, 0.25, 0.25, 0.25])
      #expect(given.trace["x"]?.logProb.scalars == [Float](repeating: -.infinity, count: 4))
      #expect(given.metrics.logWeight.scalars == free.metrics.logWeight.scalars)
      #expect(given.output.values.scalars == free.output.values.scalars)
    }
  }

  @Test func theirShapesAreChecked() throws {
    let rows = Self.particles.mapped(Tensor([1, 2, 3]))
    #expect(throws: CoixError.rowCount(plate: "particle", expected: 4, found: 3)) {
      _ = try evaluate(Self.particles(Self.kernel), latents: ["x": rows], seed: 1)()
    }
    #expect(throws: CoixError.eventShape(site: "x", value: [2], distribution: .scalar)) {
      _ = try evaluate(Self.particles(Self.kernel), latents: ["x": Tensor([1, 2])], seed: 1)()
    }
  }

  // MARK: Names that no site has

  /// What an evaluation or enumeration says of a value given to `name`, besides one to a site that there is.
  private func refusal(
    _ name: String, _ program: some InferenceProgram<Tuple<>, some TensorTree>,
    besides others: [String: Tensor] = [:], _ options: EvaluationOptions = .init()
  ) -> String? {
    message {
      try evaluate(
        program, latents: others.merging([name: 0.5]) { $1 }, seed: 1, options: options)()
    }
  }

  private func expectTaken(
    _ name: String, _ program: some InferenceProgram<Tuple<>, some TensorTree>,
    _ options: EvaluationOptions = .init(), location: SourceLocation = #_sourceLocation
  ) {
    #expect(throws: Never.self, sourceLocation: location) {
      _ = try evaluate(program, latents: [name: 0.5], seed: 1, options: options)()
    }
  }

  private static func unknown(_ name: String, _ known: String) -> String {
    "site \"\(name)\": latents: gives it a value, but no latent site has this name; there are \(known)"
  }

  @Test(arguments: [EvaluationOptions.Keep.everything, .output, .metrics])
  func unknownNamesAreErrors(_ keep: EvaluationOptions.Keep) throws {
    let options = EvaluationOptions(keep: keep)
    #expect(refusal("y", Self.target, options) == Self.unknown("y", "\"x\""))
    #expect(
      refusal("y", Self.particles(Self.kernel), besides: ["x": 1], options) == Self.unknown("y", "\"x\""))
    #expect(refusal("o", Self.particles(Self.target), options) == Self.unknown("o", "\"x\""), "is observed")
    let silent = Model { (trace: ModelTrace) in
      trace.observe("o", 1, from: Normal(0, 1))
      return Tensor(0)
    }
    #expect(refusal("x", silent, options) == Self.unknown("x", "none"))
    expectTaken("x", Self.particles(Self.target), options)
    let both = message {
      try evaluate(
        Self.particles(Self.kernel), latents: ["b": 0, "a": 0, "x": 0], seed: 1, options: options)()
    }
    #expect(both == Self.unknown("a", "\"x\""), "the first in alphabetical order")
    try expectThatEvaluationsWork()
  }

  /// Names are those that sites run under: with suffixes, and without what combinators keep to themselves.
  @Test func namesOfCombinedPrograms() throws {
    let reverse = Kernel { (trace: KernelTrace, x: Tensor) in trace.sample("x", from: Normal(x, 1)) }
    let forward = compose(reverse, Self.kernel)
    expectTaken("x_PREV_", Self.particles(forward))
    #expect(
      refusal("x_PREV__PREV_", Self.particles(forward)) == Self.unknown("x_PREV__PREV_", #""x_PREV_", "x""#))
    expectTaken("x_PREV_", Self.particles(suffix(Self.kernel)))
    #expect(refusal("x", Self.particles(suffix(Self.kernel))) == Self.unknown("x", #""x_PREV_""#))
    // A proposal hands on the sites of its target's marginal; auxiliary ones, and those of its own alone,
    // stay inside.
    let proposed = propose(
      Self.particles(extend(Self.target, reverse)), Self.particles(forward), loss: .elbo, detach: true)
    expectTaken("x", proposed)
    #expect(refusal("x_PREV_", proposed) == Self.unknown("x_PREV_", #""x""#))
    let noisy = Kernel { (trace: KernelTrace) in
      let y = trace.sample("y", from: Normal(0, 1))
      return trace.sample("x", from: Normal(y, 1))
    }
    let wasteful = propose(Self.particles(Self.target), Self.particles(noisy))
    #expect(refusal("y", wasteful) == Self.unknown("y", #""x""#))
    // Sites before a barrier count, too.
    let next = Kernel { (trace: KernelTrace, x: Tensor) in trace.sample("z", from: Normal(x, 1)) }
    let chain = compose(Self.particles(next), resample(proposed), suffix: false)
    for name in ["x", "z"] { expectTaken(name, chain) }
    #expect(refusal("y", chain) == Self.unknown("y", #""x", "z""#))
    let loop = foriLoop(0..<3, initial: Self.particles(Self.target)) { _, program in resample(program) }
    expectTaken("x", loop)
    #expect(refusal("y", loop) == Self.unknown("y", #""x""#))
    let replayed: Inference<Tuple<>, Tuple<Tensor>> = empirical(try evaluate(proposed, seed: 1)())
    expectTaken("x", replayed)
    #expect(refusal("x_PREV_", replayed) == Self.unknown("x_PREV_", #""x""#))
    try expectThatEvaluationsWork()
  }

  @Test func manyNamesAreCutShort() {
    let program = Kernel { (trace: KernelTrace) in
      (0..<100).reduce(Tensor(0)) { sum, number in sum + trace.sample("x\(number)", from: Normal(0, 1)) }
    }
    let listed = (0..<20).map { "\"x\($0)\", " }.joined()
    #expect(refusal("x", program) == Self.unknown("x", listed + "…"))
    expectTaken("x99", program)
  }

  /// A site that only some of an enumeration's runs have may be given a value.
  @Test func sitesOfSomeRuns() throws {
    let program = Kernel { (trace: KernelTrace) in
      let coin = trace.sample("coin", from: Bernoulli(probabilities: 0.5))
      return coin.scalar == 1 ? trace.sample("die", from: Categorical(logits: [0, 0, 0])) : coin
    }
    #expect(try enumerate(program)().assignments.count == 4)
    #expect(try enumerate(program, latents: ["die": 2])().assignments.count == 2)
    #expect(
      message { try enumerate(program, latents: ["die": 2, "dye": 1])() }
        == Self.unknown("dye", #""coin", "die""#))
  }

  /// Values over a plate that the site is not in are refused, also where the number of rows is right.
  @Test func valuesOverAnotherPlate() throws {
    let count = Self.particles.count
    let values = Plate("other", count: count).mapped(Tensor((0..<count).map { Float($0) }))
    let error = #expect(throws: CoixError.self) {
      _ = try evaluate(Self.particles(Self.kernel), latents: ["x": values], seed: 1)()
    }
    #expect(try #require(error).description.contains("other"))
  }
}
