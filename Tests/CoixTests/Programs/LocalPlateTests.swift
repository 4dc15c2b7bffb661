import Coix
import Testing

/// Plates inside of programs, and keys of a program's own. The order of their draws is golden.
@Suite struct LocalPlateTests {
  static let particles = Plate("particle", count: 50, chunkRows: 16)

  /// A mean for each particle, and points around it.
  static let points = Model { (trace, data: Tensor) in
    let mean = trace.sample("mean", from: Normal(0, 1).expanded(to: [2]).event(1))
    let elements = trace.plate("N", data.shape[0])
    let z = elements.sample("z", from: Normal(mean, 0.5).event(1))
    elements.observe("x", data, from: Normal(z, 0.1).event(1))
    return z
  }

  static let data = Tensor((0..<6).map { Float($0) / 3 }, shape: [3, 2])

  @Test func sitesKeepTheLocalAxis() throws {
    let result = try evaluate(Self.particles(Self.points), seed: 1)(Self.data)
    let z = try #require(result.trace["z"])
    #expect(z.value.shape == [50, 3, 2] && z.logProb.shape == [50, 3] && z.eventRank == 1)
    #expect(result.trace["x"]?.logProb.shape == [50, 3])
    #expect(result.trace["mean"]?.logProb.shape == [50])
    #expect(Set(z.value.scalars).count == 300)
    // The weight sums over the local axis.
    let x = try #require(result.trace["x"]).logProb
    let weights = result.metrics.logWeight.scalars
    for row in 0..<50 {
      #expect(abs(weights[row] - x.scalars[3 * row..<3 * row + 3].reduce(0, +)) < 1e-4)
    }
  }

  /// The same numbers in one chunk or many, and with any number of threads.
  @Test(arguments: [1, 3]) func theCutDoesNotMatter(_ threads: Int) throws {
    let options = EvaluationOptions(workers: try Workers(threads: threads))
    let one = try evaluate(Plate("particle", count: 50)(Self.points), seed: 1)(Self.data)
    let many = try evaluate(Self.particles(Self.points), seed: 1, options: options)(Self.data)
    for (a, b) in zip(one.trace.sites, many.trace.sites) {
      #expect(a.value.scalars == b.value.scalars && a.logProb.scalars == b.logProb.scalars)
    }
  }

  @Test func nestedLocalPlates() throws {
    let program = Kernel { trace in
      let outer = trace.plate("outer", 4)
      let a = outer.sample("a", from: Normal(0, 1))
      return outer.plate("inner", 3).sample("b", from: Normal(a.reshaped(to: [4, 1]), 1))
    }
    for rows in [nil, 5] {
      let result =
        try rows.map { try evaluate(Plate("particle", count: $0)(program), seed: 2)() }
        ?? evaluate(program, seed: 2)()
      let batch = Shape(rows.map { [$0] } ?? [])
      #expect(result.trace["a"]?.logProb.shape == batch.appending([4]))
      #expect(result.trace["b"]?.logProb.shape == batch.appending([4, 3]))
      #expect(result.output.values.shape == batch.appending([4, 3]))
    }
  }

  /// Elements of a local plate have weights of their own in the objective of population Gibbs samplers.
  @Test func objectivesReadTheLocalAxis() throws {
    let proposal = Self.particles(
      Kernel { (trace, data: Tensor) in
        let mean = trace.sample("mean", from: Normal(0, 1).expanded(to: [2]).event(1))
        return trace.plate("N", data.shape[0]).sample("z", from: Normal(0.5 * (data + mean), 0.5).event(1))
      })
    var shapes: [Shape] = []
    let program = propose(Self.particles(Self.points), proposal, loss: .rws)
    let result = try evaluate(program, seed: 3)(Self.data)
    shapes = result.trace.sites.map(\.logProb.shape)
    #expect(shapes == [[50], [50, 3], [50, 3]])
    #expect(result.metrics.logWeight.shape == [50])
    #expect(try result.metrics.loss.scalar.isFinite)
    let drawn = try evaluate(resample(program), seed: 3)(Self.data)
    #expect(drawn.trace["z"]?.value.shape == [50, 3, 2])
  }

  private func message(_ body: @escaping @Sendable (ModelTrace) -> Tensor) -> String {
    do {
      _ = try evaluate(Self.particles(Model { trace in body(trace) }), seed: 0)()
      return ""
    } catch { return "\(error)" }
  }

  @Test func misuse() {
    #expect(
      message { $0.plate("N", 0).sample("x", from: Normal(0, 1)) }
        == "plate \"N\": needs at least one row, has 0")
    #expect(
      message { $0.plate("particle", 2).sample("x", from: Normal(0, 1)) }.contains(
        "plate \"particle\" stands inside a plate of the same name"))
    #expect(
      message { $0.plate("N", 2).plate("N", 2).sample("x", from: Normal(0, 1)) }.contains("of the same name"))
    #expect(
      message { $0.plate("N", 3).sample("x", from: Normal(Tensor([0, 1]), 1)) }.contains(
        "neither event axes nor declared local"))
    #expect(
      message { trace in
        trace.plate("N", 3).observe("x", Tensor([0, 1]), from: Normal(0, 1))
        return 0
      }.contains("site \"x\": value has event shape [2], distribution has [3]"))
    #expect(message { $0.plate("N", 1 << 32).sample("x", from: Normal(0, 1)) }.contains("too many elements"))
    // Values without elements need no memory, their log-densities do.
    let empty = Tensor.zeros([0])
    #expect(
      message { $0.plate("N", 1 << 30).sample("x", from: Normal(empty, 1).event(1)).sum() }.contains("bytes"))
    #expect(
      message { $0.plate("N", 1 << 30).sample("x", from: Laplace(empty, 1).event(1)).sum() }.contains("bytes")
    )
  }

  // MARK: Keys

  @Test func keysAreTheProgramsOwn() throws {
    let program = Kernel { trace in
      let key = trace.prngKey()
      let noise = Draw(key: key, shape: [3]).normal()
      return (trace.sample("x", from: Normal(0, 1)), noise)
    }
    let first = try evaluate(Self.particles(program), seed: 4)().output.values
    let again = try evaluate(Plate("particle", count: 50)(program), seed: 4)().output.values
    #expect(first.1.shape == [50, 3] && first.1.scalars == again.1.scalars)
    #expect(Set(first.1.scalars).count == 150)
    // A key takes one draw from the stream: the site gets the second.
    var stream = KeyStream(4)
    let (own, site) = (stream.next(), stream.next())
    #expect(
      try evaluate(program, seed: 4)().output.values.1.scalars == Draw(key: own, shape: [3]).normal().scalars)
    #expect(
      try evaluate(program, seed: 4)().output.values.0.scalar == Draw(key: site, shape: []).normal().scalar)
  }
}
