import Coix
import Testing

/// What one gets wrong at first: each message says what to do instead.
@Suite struct NewcomerTests {
  static let particles = Plate("particle", count: 50)
  static let prior = Kernel { trace in trace.sample("z", from: Normal(0, 1)) }
  static let model = Model { trace in
    let z = trace.sample("z", from: Normal(0, 1))
    trace.observe("x", 1.25, from: Normal(z, 0.5))
    return z
  }

  private func complaint(_ observe: @escaping @Sendable (ModelTrace, Tensor) -> Void) -> String? {
    message {
      try evaluate(
        Self.particles(Model { trace in observe(trace, trace.sample("z", from: Normal(0, 1))) }), seed: 0)()
    }
  }

  // MARK: Shapes

  @Test func observationsOfAnotherShape() {
    #expect(
      complaint { $0.observe("y", [1, 2, 3], from: Normal($1, 1)) }
        == #"site "y": value has event shape [3], distribution has []; expanded(to: [3]).event(1) makes the "#
        + "distribution one of such an event, trace.plate one of independent elements")
    #expect(
      complaint { $0.observe("y", 1, from: Normal($1, 1).expanded(to: [3]).event(1)) }
        == #"site "y": value has event shape [], distribution has [3]; broadcast(to: [3]) repeats the value "#
        + "along the distribution's axes")
    #expect(
      complaint {
        $0.observe("y", [1, 2, 3, 4], from: Normal($1, 1).expanded(to: [4, 1]).event(2))
      } == #"site "y": value has event shape [4], distribution has [4, 1]; reshaped(to: [4, 1]) gives the "#
        + "value the distribution's axes")
    // What the messages advise works.
    #expect(throws: Never.self) {
      try evaluate(
        Self.particles(
          Model { trace in
            let z = trace.sample("z", from: Normal(0, 1))
            trace.observe("a", [1, 2, 3], from: Normal(z, 1).expanded(to: [3]).event(1))
            trace.plate("row", 3).observe("b", [1, 2, 3], from: Normal(z, 1))
            let distribution = Normal(z, 1).expanded(to: [3]).event(1)
            trace.observe("c", Tensor(1).broadcast(to: [3]), from: distribution)
          }), seed: 0)()
    }
  }

  @Test func dataThatAreNotMapped() throws {
    let rows = Model { (trace, x: Tensor) in
      let z = trace.sample("z", from: Normal(0, 1))
      trace.observe("x", x, from: Normal(z, 0.5))
    }
    #expect(
      message { try evaluate(Self.particles(rows), seed: 0)(.zeros([50])) }
        == #"site "x": its value has a row for each of the 50 rows of plate "particle", but is not mapped over it: "#
        + "give the program plate.mapped(data) as its input")
    #expect(throws: Never.self) {
      try evaluate(Self.particles(rows), seed: 0)(Self.particles.mapped(.zeros([50])))
    }
    let mapped = Self.particles.mapped(.zeros([50]))
    #expect(
      complaint { $0.observe("x", mapped, from: Normal($1, 1)) }?.hasSuffix(
        "which take it as an argument and don't capture it") == true)
  }

  // MARK: Plates

  @Test func statisticsWithoutAPlate() throws {
    let single = try evaluate(Self.model, seed: 0)()
    let expected =
      "log-weights need particles on their first axis; their shape is [], that of a single run: evaluate the program in a "
      + #"plate, Plate("particle", count: 1_000)(program), say"#
    #expect(message { try single.weightedMean(of: "z") } == expected)
    #expect(message { try paretoK(single.metrics.logWeight) } == expected)
  }

  // MARK: Names

  /// Sites that are surely meant to meet.
  @Test func namesThatDoNotMeet() throws {
    func propose(_ name: String) -> String? {
      message {
        let proposal = Kernel { trace in trace.sample(name, from: Normal(1, 0.4)) }
        return try evaluate(Coix.propose(Self.particles(Self.model), Self.particles(proposal)), seed: 0)()
      }
    }
    #expect(
      propose("Z")
        == #"site "Z": the proposal draws it, the target draws "z": sites meet by name, and these two do not"#
    )
    #expect(propose("z_")?.hasPrefix(#"site "z_": the proposal draws it, the target draws "z""#) == true)
    #expect(
      propose("latent")
        == #"site "z": no latent site of the target takes a value from the proposal: the target has "z", the proposal "#
        + #""latent"; sites meet by name"#)
    // The same typo beside a site that meets.
    let two = Model { trace in
      let z = trace.sample("z", from: Normal(0, 1))
      let scale = trace.sample("scale_x", from: HalfNormal(1))
      trace.observe("x", 1.25, from: Normal(z, scale))
    }
    let typo = Kernel { trace in
      _ = trace.sample("z", from: Normal(0, 1))
      _ = trace.sample("scaleX", from: HalfNormal(1))
    }
    #expect(
      message { try evaluate(Coix.propose(Self.particles(two), Self.particles(typo)), seed: 0)() }
        == #"site "scaleX": the proposal draws it, the target draws "scale_x": sites meet by name, and these two do not"#
    )
  }

  /// What may well be meant stays legal: sites of one side only beside some that meet, and targets that take
  /// the output.
  @Test func namesThatNeedNotMeet() throws {
    let two = Model { trace in
      let z = trace.sample("z", from: Normal(0, 1))
      let w = trace.sample("w", from: Normal(0, 1))
      trace.observe("x", 1.25, from: Normal(z + w, 0.5))
    }
    let noisy = Kernel { trace in
      let noise = trace.sample("noise", from: Normal(0, 1))
      return trace.sample("z", from: Normal(noise, 0.4))
    }
    let nothing = Kernel { _ in Tensor(1) }
    let continued = Model { (trace, z: Tensor) in trace.sample("y", from: Normal(z, 1)) }
    #expect(throws: Never.self) {
      _ = try evaluate(propose(Self.particles(two), Self.particles(Self.prior)), seed: 0)()
      _ = try evaluate(propose(Self.particles(Self.model), Self.particles(noisy)), seed: 0)()
      _ = try evaluate(propose(Self.particles(two), Self.particles(noisy)), seed: 0)()
      _ = try evaluate(propose(Self.particles(Self.model), Self.particles(nothing)), seed: 0)()
      _ = try evaluate(propose(Self.particles(continued), chaining: Self.particles(Self.prior)), seed: 0)()
    }
  }

  @Test func sitesOfATrace() throws {
    let result = try evaluate(Self.particles(Self.model), seed: 0)()
    #expect(
      message { try result.weightedMean(of: "mu") }
        == #"site "mu": the evaluation's trace has no such site; there are "z", "x""#)
    let metrics = try evaluate(
      Self.particles(Self.model), seed: 0, options: EvaluationOptions(keep: .metrics))()
    #expect(
      message { try metrics.weightedMean(of: "z") }
        == #"site "z": the evaluation has kept no trace: EvaluationOptions(keep: .everything) does"#)
    #expect(
      message { try result.weightedQuantiles([5, 95], of: "z") }
        == "quantiles: levels must lie between 0 and 1, one is 5.0; that of 5 % is 0.05")
    #expect(
      message { try evaluate(Self.particles(Kernel { $0.sample("", from: Normal(0, 1)) }), seed: 0)() }
        == #"site "": every site needs a name"#)
  }

  // MARK: Swift's own types

  /// Whole numbers are seeds as keys are; they count modulo 2^32, as JAX has it.
  @Test func seedsAndCounts() throws {
    func draw(_ seed: some RandomSeed) throws -> [Float] {
      try evaluate(Self.particles(Self.prior), seed: seed)().output.values.scalars
    }
    let (int, word, long): (Int, UInt32, UInt64) = (7, 7, 7)
    let expected = try draw(PRNGKey(seed: 7))
    #expect(try draw(int) == expected && draw(word) == expected && draw(long) == expected)
    #expect(try draw(long + 1 << 32) == expected)
    #expect(try draw(-1) == draw(UInt64(4_294_967_295)) && draw(-1) != draw(1))
    #expect(try draw(PRNGKey(seed: -1)) == draw(-1))
    let count = 5
    let resampled = try evaluate(resample(Self.particles(Self.model), count: count), seed: int)()
    #expect(resampled.output.values.shape == [5])
    #expect(
      MLP(sizes: [2, 3], key: int).layers[0].kernel.scalars
        == MLP(sizes: [2, 3], key: 7).layers[0].kernel.scalars)
    let data = Draw(key: 4, shape: [9]).normal()
    #expect(data.sampledRows(4, key: int).scalars == data.sampledRows(4, key: 7).scalars)
  }
}
