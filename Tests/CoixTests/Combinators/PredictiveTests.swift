import Coix
import Testing

/// Programs that run on the samples of a finished evaluation, against conjugate posteriors.
@Suite struct PredictiveTests {
  static let particles = Plate("particle", count: 20_000)
  static let model = Model { trace in
    let z = trace.sample("z", from: Normal(0, 1))
    trace.observe("x", 1.25, from: Normal(z, 0.5))
  }
  static let proposal = Kernel { trace in trace.sample("z", from: Normal(0.5, 1)) }
  static let next = Kernel { trace in
    let z = trace.sample("z", from: Normal(0, 1))
    return trace.sample("x", from: Normal(z, 0.5))
  }
  /// The posterior of z is normal with mean 1 and variance 0.2.
  static func posterior() throws -> Evaluation<Tuple<>> {
    try evaluate(propose(particles(model), particles(proposal)), seed: 0)()
  }

  @Test(arguments: [true, false]) func drawsOfNewData(_ resampled: Bool) throws {
    let posterior = try Self.posterior()
    let draws = try evaluate(
      predictive(Self.particles(Self.next), from: posterior, resampled: resampled), seed: 1)()
    #expect((Double(try draws.weightedMean(of: "x").scalar) - 1).magnitude < 0.03)
    #expect((Double(try draws.weightedVariance(of: "x").scalar) - 0.45).magnitude < 0.03)
    #expect(
      Set(try #require(draws.trace["z"]).value.scalars).isSubset(
        of: posterior.trace["z"]?.value.scalars ?? []))
    #expect(try draws.metrics.logZ.scalar.magnitude < 1e-4)
    let weights = draws.metrics.logWeight.scalars
    #expect(Set(weights).count == 1 || !resampled)
    #expect(weights.contains { $0 != 0 } == !resampled)
  }

  /// With observations log Z is the log posterior predictive density of them.
  @Test(arguments: [true, false]) func densityOfNewData(_ resampled: Bool) throws {
    let observing = Model { (trace, x: Tensor) in
      let z = trace.sample("z", from: Normal(0, 1))
      trace.observe("x", x, from: Normal(z, 0.5))
    }
    let result = try evaluate(
      predictive(Self.particles(observing), from: try Self.posterior(), resampled: resampled), seed: 1)(0.5)
    let exact = normalLogDensity(0.5, 1, 0.45.squareRoot())
    #expect(abs(Double(try result.metrics.logZ.scalar) - exact) < 0.02)
  }

  @Test func sameBitsOnAnyNumberOfThreads() throws {
    func run(_ threads: Int) throws -> [Float] {
      let options = EvaluationOptions(workers: try Workers(threads: threads))
      let program = predictive(Self.particles(Self.next), from: try Self.posterior())
      return try evaluate(program, seed: 1, options: options)().output.values.scalars
    }
    #expect(try run(1) == run(3))
  }

  /// In nested plates each instance has its own samples.
  @Test(arguments: [true, false]) func instances(_ resampled: Bool) throws {
    let (particles, instances) = (Plate("particle", count: 4_000), Plate("instance", count: 2))
    let model = Model { (trace, x: Tensor) in
      let z = trace.sample("z", from: Normal(0, 1))
      trace.observe("x", x, from: Normal(z, 0.5))
    }
    let proposal = Kernel { (trace, x: Tensor) in trace.sample("z", from: Normal(0.8 * x, 0.6)) }
    let posterior = try evaluate(
      propose(particles(instances(model)), particles(instances(proposal))), seed: 0)(
        instances.mapped([1.25, -2.5]))
    let draws = try evaluate(
      predictive(particles(instances(Self.next)), from: posterior, resampled: resampled), seed: 1)()
    let means = try draws.weightedMean(of: "x").scalars
    #expect((means[0] - 1).magnitude < 0.06 && (means[1] + 2).magnitude < 0.06)
  }

  @Test func misuse() throws {
    let posterior = try Self.posterior()
    let other = Kernel { trace in trace.sample("w", from: Normal(0, 1)) }
    #expect(
      message { try evaluate(predictive(Self.particles(other), from: posterior), seed: 0)() }
        == "predictive: no latent site of the program is one of the samples', so that it would run on none of them; "
        + #"the program has "w", the samples "z""#)
    #expect(
      message { try evaluate(predictive(Plate("particle", count: 5)(Self.next), from: posterior), seed: 0)() }
        == #"programs that run together need the same plates; found "particle" of 20000 and "particle" of 5"#)
    let unkept = try evaluate(
      Self.particles(Self.next), seed: 0, options: EvaluationOptions(keep: .metrics))()
    #expect(
      message { try evaluate(predictive(Self.particles(Self.next), from: unkept), seed: 0)() }?.contains(
        "has not kept its output and trace") == true)
  }

  @Test func erased() throws {
    let kernel = AnyProgram(
      Kernel(tree: { (trace: KernelTrace, _: [Tensor]) in [trace.sample("z", from: Normal(0, 1))] }))
    let plated = try Plate("particle", count: 5)(kernel)
    let samples = try evaluate(plated, seed: 0).run([])
    let program = try AnyProgram.predictive(plated, from: samples)
    #expect(program.level == .inference)
    #expect(try evaluate(program, seed: 1).run([]).output[0].scalars == samples.output[0].scalars)
    #expect(
      message { try AnyProgram.predictive(program, from: samples) }?.contains("predictive needs a target")
        == true)
  }
}
