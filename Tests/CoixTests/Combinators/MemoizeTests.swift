import Coix
import Testing

/// memoize on a model with six joint values, which can be listed.
@Suite struct MemoizeTests {
  static let probabilities: [Float] = [0.5, 0.3, 0.2]
  static let means: [Float] = [-1, 0.5, 2]

  static func model(_ count: Int) -> Target<Tuple<>, Tuple<Tensor, Tensor>> {
    let body = Model { trace in
      let c = trace.sample("c", from: Categorical(probabilities: Tensor(probabilities)))
      let b = trace.sample("b", from: Bernoulli(probabilities: 0.25))
      trace.observe("y", 0.8, from: Normal(Tensor(means).gathered(at: c) + b, 0.5))
      return (c, b)
    }
    return Plate("particle", count: count)(compose(body, Kernel { _ in () }, suffix: false))
  }

  static func proposal(_ count: Int) -> Kernel<Tuple<>, Tuple<Tensor, Tensor>> {
    Plate("particle", count: count)(
      Kernel { trace in
        let c = trace.sample("c", from: Categorical(logits: [0, 0, 0]))
        return (c, trace.sample("b", from: Bernoulli(probabilities: 0.5)))
      })
  }

  /// The joint log-probability of a value.
  static func joint(_ c: Float, _ b: Float) -> Float {
    let normal = Normal(Tensor(means[Int(c)] + b), 0.5).logProb(of: 0.8).scalar
    return log(Tensor(probabilities[Int(c)])).scalar + log(Tensor(b == 1 ? 0.25 : 0.75)).scalar + normal
  }

  /// All values, best first.
  static let ranked: [(Float, Float)] = {
    let all = (0..<6).map { number -> (Float, Float) in (Float(number / 2), Float(number % 2)) }
    return all.sorted { joint($0.0, $0.1) > joint($1.0, $1.1) }
  }()

  @Test(arguments: [1, 3, 6])
  func keepsTheBestThatDiffer(_ size: Int) throws {
    // With 400 draws each of the six values is among them, but for a chance of 6 (5/6)^400 < 1e-30.
    let program = memoize(Self.model(400), Self.proposal(400), size: size)
    let result = try evaluate(program, seed: 3)()
    let best = Self.ranked.prefix(size)
    #expect(result.output.values.0.scalars == best.map(\.0))
    #expect(result.output.values.1.scalars == best.map(\.1))
    #expect(result.trace.names.sorted() == ["b", "c"])
    #expect(try result.metrics.memory["c"]?.scalars == best.map(\.0))
    #expect(try result.metrics.memory["b"]?.scalars == best.map(\.1))
    for (found, value) in zip(result.metrics.logWeight.scalars, best) {
      #expect(abs(found - Self.joint(value.0, value.1)) < 1e-5)
    }
  }

  @Test func fillsUpWithoutWeight() throws {
    let program = memoize(Self.model(400), Self.proposal(400), size: 9)
    let result = try evaluate(program, seed: 3)()
    let ranked = Self.ranked.map(\.0)
    let found = result.output.values.0.scalars
    #expect(found == ranked + [Float](repeating: ranked[0], count: 3))
    #expect(result.metrics.logWeight.scalars.map { $0 == -.infinity } == (0..<9).map { $0 >= 6 })
    // They are dropped again in the next round.
    let next = try memoize(Self.model(10), Self.proposal(1), memory: result.metrics.memory, size: 6)
    let again = try evaluate(next, seed: 4)()
    #expect(again.output.values.0.scalars == Self.ranked.map(\.0))
    #expect(again.output.values.1.scalars == Self.ranked.map(\.1))
  }

  /// Memory only gets better, and ends at the best.
  @Test func memoryImproves() throws {
    var memory: [String: Tensor] = [:]
    var last = -Float.infinity
    for round in 0..<30 {
      let program = memoize(
        Self.model(memory.isEmpty ? 2 : 4), Self.proposal(2), memory: memory, size: 2)
      let metrics = try evaluate(program, seed: PRNGKey(seed: round))().metrics
      memory = try metrics.memory
      let total = metrics.logWeight.logSumExp(axis: 0).scalar
      #expect(total >= last - 1e-6)
      last = total
    }
    #expect(memory["c"]?.scalars == Self.ranked.prefix(2).map(\.0))
  }

  /// Each instance keeps its own, and a resampling draws from what is kept.
  @Test func instancesKeepTheirOwn() throws {
    let instances = Plate("instance", count: 3)
    func inside<Program: TargetProgram>(_ program: Program, _ count: Int) -> Program.SameLevel {
      Plate("particle", count: count)(instances(program))
    }
    let y = instances.mapped(Tensor([-1, 0.5, 2]))
    let kernel = Kernel { (trace, y: Tensor) in trace.sample("c", from: Categorical(logits: [0, 0, 0])) }
    let model = Model { (trace, y: Tensor) in
      let c = trace.sample("c", from: Categorical(probabilities: Tensor(Self.probabilities)))
      trace.observe("y", y, from: Normal(Tensor(Self.means).gathered(at: c), 0.1))
      return c
    }
    let program = memoize(Plate("particle", count: 50)(instances(model)), inside(kernel, 50), size: 2)
    let result = try evaluate(program, seed: 1)(y)
    #expect(result.output.values.shape == [2, 3])
    let best: [Float] = [0, 1, 2]
    #expect(Array(result.output.values.scalars.prefix(3)) == best)
    let drawn = try evaluate(resample(program), seed: 1)(y)
    #expect(drawn.output.values.scalars == best + best)
    #expect(try result.metrics.memory["c"]?.shape == [2, 3])
  }

  @Test func misuse() throws {
    func message(_ memory: [String: Tensor], _ size: Int?) -> String {
      do {
        _ = try evaluate(memoize(Self.model(3), Self.proposal(2), memory: memory, size: size), seed: 0)()
        return ""
      } catch { return "\(error)" }
    }
    #expect(message([:], nil).contains("needs a memory, or a size"))
    #expect(message([:], 0).contains("size of at least 1"))
    #expect(message(["c": [0], "b": [0, 1]], nil).contains("equally many samples"))
    #expect(message(["c": [0], "x": [0]], nil).contains("no such latent site"))
    #expect(message(["c": [0]], nil).contains("there are no samples in memory"))
    #expect(
      message(["c": .zeros([1, 2]), "b": .zeros([1])], nil).contains("the samples in memory have shape"))
    let chunkless = Plate("particle", count: 2).mapped(Tensor([0, 1]))
    for misfit in [Tensor(0), chunkless] {
      #expect(message(["b": misfit, "c": misfit], 2).contains("memory needs samples on its first axis"))
    }
    #expect(message(["c": Tensor([0, 1], shape: [3])], 2).contains("shape"))
    for size in [1 << 33, 1 << 40, 1 << 62, .max] {
      #expect(message(["c": [0], "b": [0]], size).contains("more than this machine can give"))
    }
    // Memory and proposal together have four particles, the target's plate three.
    #expect(message(["c": [0, 1], "b": [0, 1]], nil).contains("\"particle\" of 3"))
    #expect(message(["c": [0], "b": [0]], nil) == "")
    let unplated = memoize(
      Model { trace in trace.sample("x", from: Normal(0, 1)) },
      Kernel { trace in trace.sample("x", from: Normal(0, 1)) }, size: 2)
    #expect(throws: CoixError.illFormedProgram("memoize: the proposal has no particle axis")) {
      try evaluate(unplated, seed: 0)()
    }
  }
}
