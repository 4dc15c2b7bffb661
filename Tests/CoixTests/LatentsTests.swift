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
}
