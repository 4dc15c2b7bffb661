import Coix
import Foundation
import Testing

/// What is written for ArviZ; `PythonPackagesTests` let ArviZ read it.
@Suite struct PosteriorSamplesTests {
  private static let (particle, point) = (Plate("particle", count: 7), Plate("point", count: 3))
  private static let kernel = Kernel { (trace) in
    let scale = trace.sample("scale", from: LogNormal(0, 1))
    return trace.sample("z", from: Normal(0, scale).expanded(to: [2]).event(1))
  }
  private static let model = Model { (trace) in
    let scale = trace.sample("scale", from: LogNormal(0, 1))
    let z = trace.sample("z", from: Normal(0, scale).expanded(to: [2]).event(1))
    trace.observe("x", [0.5, 1], from: Normal(z, 1).event(1))
    return z
  }

  @Test func particlesAreDraws() throws {
    let program = propose(Self.particle(Self.point(Self.model)), Self.particle(Self.point(Self.kernel)))
    let result = try evaluate(program, seed: 0)()
    let samples = try result.posteriorSamples()
    let named = samples.namedTensors
    #expect(
      named.map(\.name) == [
        "posterior/scale", "posterior/z", "sample_stats/log_weight", "log_evidence", "plates/point",
      ])
    #expect(named.map(\.tensor.shape) == [[1, 7, 3], [1, 7, 3, 2], [1, 7, 3], [1], []])
    #expect(samples.posterior["z"]?.scalars == result.trace["z"]?.value.scalars)
    #expect(samples.logWeight.scalars == result.metrics.logWeight.scalars)
    #expect(samples.logEvidence.scalars == [try result.metrics.logZ.scalar])
    #expect(samples.plates.mapValues(\.scalar) == ["point": 2])
  }

  @Test(arguments: ["chain", "draw"])
  func namesOfArviZsAxesAreTaken(_ name: String) throws {
    let result = try evaluate(Self.particle(Plate(name, count: 3)(Self.model)), seed: 0)()
    #expect(
      throws: CoixError.argument(
        "posteriorSamples: \"\(name)\" is ArviZ's name for an axis of its own; give the plate another one")
    ) { try result.posteriorSamples() }
    let particles = try evaluate(Plate(name, count: 3)(Self.model), seed: 0)()
    #expect(try particles.posteriorSamples().posterior["scale"]?.shape == [1, 3])
  }

  @Test func aTreeOfFilesComesBack() throws {
    let program = propose(Self.particle(Self.model), Self.particle(Self.kernel))
    let samples = try evaluate(program, seed: 0)().posteriorSamples()
    let other = try evaluate(program, seed: 1)().posteriorSamples()
    try withTemporaryFolder { folder in
      try samples.write(npz: "\(folder)/a.npz")
      try samples.write(safetensors: "\(folder)/a.safetensors")
      for read in [
        try other.reading(npz: "\(folder)/a.npz"), try other.reading(safetensors: "\(folder)/a.safetensors"),
      ] {
        #expect(read.namedTensors.map(\.name) == samples.namedTensors.map(\.name))
        #expect(read.namedTensors.map(\.tensor.scalars) == samples.namedTensors.map(\.tensor.scalars))
      }
    }
  }

  @Test func stepsHaveTheirEvidence() throws {
    let program = resample(propose(Self.particle(Self.model), Self.particle(Self.kernel)))
    let result = try evaluate(program, seed: 0, options: EvaluationOptions(steps: true))()
    #expect(result.steps.count == 2)
    #expect(try result.posteriorSamples().logEvidence.scalars == result.steps.map(\.logZ))
  }

  /// Importance sampling from the prior, which no combinator is needed for.
  @Test(arguments: [false, true]) func aWeightedModelHasItsEvidence(_ steps: Bool) throws {
    let options = EvaluationOptions(steps: steps)
    let alone = try evaluate(Self.particle(Self.model), seed: 0, options: options)()
    #expect(
      try alone.posteriorSamples().logEvidence.scalars == [logEvidence(alone.metrics.logWeight).scalar])
    let program = Self.particle(Self.point(Self.model))
    let samples = try evaluate(program, seed: 0, options: options)().posteriorSamples()
    // Of each point, in double.
    let weights = samples.logWeight.reshaped(to: [7, 3])
    let sum = (0..<3).reduce(0.0) { sum, point in
      let own = (0..<7).map { exp(Double(weights[$0][point].scalar)) }
      return sum + log(own.reduce(0, +) / 7)
    }
    #expect(samples.logEvidence.shape == [1])
    #expect(abs(Double(samples.logEvidence.scalars[0]) - sum) < 1e-5)
  }

  /// Of a program that neither proposes nor resamples, and without plates.
  @Test func withoutWeightsAndWithoutParticles() throws {
    let drawn = try evaluate(Self.particle(Self.kernel), seed: 0)().posteriorSamples()
    #expect(drawn.logWeight.shape == [1, 7])
    #expect(drawn.logWeight.scalars == Array(repeating: 0, count: 7))
    #expect(drawn.logEvidence.scalars == [0], "the density of what is drawn is normalised")
    let alone = try evaluate(Self.model, seed: 0)()
    let samples = try alone.posteriorSamples()
    #expect(samples.posterior.mapValues(\.shape) == ["scale": [1, 1], "z": [1, 1, 2]])
    #expect(samples.logWeight.shape == [1, 1] && samples.logEvidence.shape == [0])
    #expect(samples.logWeight.scalars == alone.metrics.logWeight.scalars)
    #expect(samples.plates.isEmpty)
  }

  /// After resampling to one particle, instances are the only plate.
  @Test func aSingleParticleIsASingleDraw() throws {
    let program = propose(Self.particle(Self.point(Self.model)), Self.particle(Self.point(Self.kernel)))
    let samples = try evaluate(resample(program, count: .one), seed: 0)().posteriorSamples()
    #expect(samples.posterior["z"]?.shape == [1, 1, 3, 2])
    #expect(samples.plates.mapValues(\.scalar) == ["point": 2])
  }

  @Test func sitesOfAuxiliaryProgramsAreLeftOut() throws {
    let move = Kernel { (trace, z: Tensor) in trace.sample("z", from: Normal(z, 1).event(1)) }
    let samples = try evaluate(compose(Self.particle(move), Self.particle(Self.kernel)), seed: 0)()
      .posteriorSamples()
    #expect(samples.posterior.keys.sorted() == ["scale", "z"])
  }

  @Test func saysWhatIsMissing() throws {
    let result = try evaluate(Self.particle(Self.model), seed: 0, options: EvaluationOptions(keep: .output))()
    #expect(
      throws: CoixError.argument(
        "the evaluation has kept no trace: EvaluationOptions(keep: .everything) does")
    ) { try result.posteriorSamples() }
    let wide = Kernel { (trace) in
      trace.sample("z", from: Normal(0, 1).expanded(to: [1, 1, 1, 1, 1, 1, 1]).event(7))
    }
    let full = try evaluate(Self.particle(wide), seed: 0)()
    #expect(full.trace["z"]?.value.shape.rank == 8)
    #expect(throws: CoixError.self) { try full.posteriorSamples() }
  }
}
