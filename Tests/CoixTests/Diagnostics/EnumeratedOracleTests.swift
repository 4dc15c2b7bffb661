import Coix
import Foundation
import Testing

/// Enumeration as an oracle: what combinators estimate for finite models against the exact evidence and
/// posterior expectations.
///
/// Each of 20,000 instances is an independent run with S = 4 particles, and gives one number, (1/S) Σ w f(z)
/// / Z, whose mean is E[f(z) | x]. It is compared by a z-score with a deviation of the runs' own. The seeds
/// are fixed; with new ones a comparison fails with probability 6.3e-5 (|z| > 4), the suite of 48 with 0.3 %.
@Suite struct EnumeratedOracleTests {
  static let particles = Plate("particle", count: 4)
  static let runs = 20_000
  static let instances = Plate("instance", count: runs)

  /// A hidden Markov model with three states; the state goes from step to step.
  static let start: Tensor = [0.5, 0.2, 0.3]
  static let transition: [Tensor] = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]]
  static let seen: [Float] = [0.2, 1.4, 1.9, 0.4]

  /// The row of the transition matrix that belongs to a state.
  static func row(_ state: Tensor) -> Tensor {
    select(state .== 0, transition[0], select(state .== 1, transition[1], transition[2]))
  }

  static let first = Model { (trace) in
    let z = trace.sample("z0", from: Categorical(probabilities: start))
    trace.observe("x0", Tensor(seen[0]), from: Normal(z, 0.8))
    return z
  }

  static func next(_ step: Int) -> Model<Tuple<Tensor>, Tuple<Tensor>> {
    Model { (trace, state: Tensor) in
      let z = trace.sample("z\(step)", from: Categorical(probabilities: row(state)))
      trace.observe("x\(step)", Tensor(seen[step]), from: Normal(z, 0.8))
      return z
    }
  }

  /// Steps 0...last as one density.
  static func joint(_ last: Int) -> Target<Tuple<>, Tuple<Tensor>> {
    var target: Target<Tuple<>, Tuple<Tensor>> = compose(next(1), first, suffix: false)
    for step in 2..<max(last + 1, 2) { target = compose(next(step), target, suffix: false) }
    return target
  }

  /// A proposal that knows nothing of the model.
  static let guess = Kernel { (trace) in
    trace.sample("z0", from: Categorical(probabilities: [0.3, 0.3, 0.4]))
  }
  static func move(_ step: Int) -> Kernel<Tuple<Tensor>, Tuple<Tensor>> {
    Kernel { (trace, state: Tensor) in
      trace.sample("z\(step)", from: Categorical(logits: 0.5 * row(state)))
    }
  }

  private static func plated<Program: TargetProgram>(_ program: Program) -> Program.SameLevel {
    particles(instances(program))
  }

  private func expectProper(
    _ program: some InferenceProgram<Tuple<>, some TensorTree>,
    for target: some TargetProgram<Tuple<>, some TensorTree>, _ site: String, seed: PRNGKey,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    for (name, score) in try scores(program, for: target, site, seed: seed) {
      #expect(score.magnitude < 4, "\(name): z-score \(score)", sourceLocation: sourceLocation)
    }
  }

  /// How far each function's estimate is from its exact expectation, in standard deviations.
  private func scores(
    _ program: some InferenceProgram<Tuple<>, some TensorTree>,
    for target: some TargetProgram<Tuple<>, some TensorTree>, _ site: String, seed: PRNGKey
  ) throws -> [(name: String, score: Double)] {
    let exact = try enumerate(target)()
    let logEvidence = Double(exact.logEvidence.scalar)
    let result = try evaluate(program, seed: seed)()
    let values = try required(result.trace[site]?.value).scalars
    let weights = result.metrics.logWeight.scalars.map { exp(Double($0) - logEvidence) }
    try #require(values.count == weights.count && values.count % Self.runs == 0)
    let functions: [(name: String, function: @Sendable (Float) -> Double)] = [
      ("1", { _ in 1 }), ("z = 1", { $0 == 1 ? 1 : 0 }), ("z²", { Double($0 * $0) }),
    ]
    return functions.map { name, function in
      let expectation = exact.expectation { assignment in
        Tensor(Float(function(assignment.trace[site]?.value.scalar ?? .nan)))
      }
      var (sum, squares) = (0.0, 0.0)
      for run in 0..<Self.runs {
        let rows = stride(from: run, to: values.count, by: Self.runs)
        let estimate =
          rows.reduce(0) { $0 + weights[$1] * function(values[$1]) } / Double(Self.particles.count)
        sum += estimate
        squares += estimate * estimate
      }
      let mean = sum / Double(Self.runs)
      let deviation = ((squares / Double(Self.runs) - mean * mean) / Double(Self.runs)).squareRoot()
      return (name, (mean - Double(expectation.scalar)) / deviation)
    }
  }

  private static let proposed = propose(plated(first), plated(guess))

  /// One more step of a particle filter.
  private static func step(
    _ number: Int, _ program: some InferenceProgram<Tuple<>, Tuple<Tensor>>
  ) -> Inference<Tuple<>, Tuple<Tensor>> {
    propose(plated(joint(number)), compose(plated(move(number)), program, suffix: false))
  }

  @Test func proposing() throws { try expectProper(Self.proposed, for: Self.first, "z0", seed: 1) }

  @Test(arguments: ResamplingScheme.allCases)
  func resampling(_ scheme: ResamplingScheme) throws {
    try expectProper(resample(Self.proposed, scheme: scheme), for: Self.first, "z0", seed: 2)
  }

  @Test func composing() throws {
    let program = compose(Self.plated(Self.move(1)), Self.proposed, suffix: false)
    try expectProper(program, for: Self.first, "z0", seed: 3)
  }

  @Test func nestedProposing() throws {
    // The inner proposal's weights carry over; the outer target is another model of the same state.
    let other = Model { (trace) in
      let z = trace.sample("z0", from: Categorical(probabilities: [0.1, 0.6, 0.3]))
      trace.factor("tilt", 0.7 * z)
      return z
    }
    try expectProper(propose(Self.plated(other), Self.proposed), for: other, "z0", seed: 4)
    try expectProper(propose(Self.plated(other), resample(Self.proposed)), for: other, "z0", seed: 5)
  }

  /// The comparison sees samples that are weighted for something else.
  @Test func wrongWeightsAreFound() throws {
    let scores = try scores(Self.proposed, for: Self.joint(1), "z0", seed: 4)
    #expect(scores.allSatisfy { $0.score.magnitude > 10 }, "\(scores)")
  }

  @Test(arguments: [false, true])
  func filtering(_ resamples: Bool) throws {
    var program: Inference<Tuple<>, Tuple<Tensor>> = Self.proposed
    for number in 1...3 { program = Self.step(number, resamples ? resample(program) : program) }
    try expectProper(program, for: Self.joint(3), "z3", seed: 6)
    try expectProper(program, for: Self.joint(3), "z0", seed: 6)
  }

  /// New values of one variable, by a forward kernel whose auxiliary old value an extended target explains by
  /// a reverse kernel.
  @Test(arguments: [false, true])
  func extending(_ resamples: Bool) throws {
    let forward = Kernel { (trace, state: Tensor) in
      trace.sample("z0", from: Categorical(probabilities: Self.row(state)))
    }
    let reverse = Kernel { (trace, state: Tensor) in
      let logits = select(state .> 0, Tensor([0, 1, 1]), Tensor([1, 0, 0]))
      return trace.sample("z0", from: Categorical(logits: logits))
    }
    let target = extend(Self.plated(Self.first), Self.plated(reverse))
    let inner: Inference<Tuple<>, Tuple<Tensor>> = resamples ? resample(Self.proposed) : Self.proposed
    let program = propose(target, compose(Self.plated(forward), inner))
    try expectProper(program, for: Self.first, "z0", seed: 7)
    let repeated = foriLoop(0..<2, initial: Self.proposed) { _, program in
      propose(target, compose(Self.plated(forward), resamples ? resample(program) : program))
    }
    try expectProper(repeated, for: Self.first, "z0", seed: 8)
  }
}
