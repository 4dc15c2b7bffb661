import Coix
import Foundation
import Synchronization
import Testing

/// `evaluate`: what it keeps, in which order and shape, and what it takes.
@Suite struct EvaluateTests {
  static let plate = Plate("particle", count: 40, chunkRows: 16)

  static let model = Model { (trace, x: Tensor) in
    let a = trace.sample("a", from: Normal(0, 1))
    trace.observe("x", x, from: Normal(a, 1))
    let b = trace.sample("b", from: Normal(a, 1).expanded(to: [2, 3]).event(2))
    trace.factor("f", b.sum() * 0.125)
    return (b, a)
  }

  @Test func sitesInTheOrderInWhichTheyRan() throws {
    let result = try evaluate(Self.plate(Self.model), seed: 1)(0.5)
    #expect(result.trace.names == ["a", "x", "b", "f"])
    #expect(result.trace.sites.map(\.isObserved) == [false, true, false, true])
    #expect(result.trace.sites.map(\.isSuffixed) == [false, false, false, false])
    #expect(result.trace.sites.map(\.eventRank) == [0, 0, 2, 1])
    #expect(result.trace.sites.map(\.value.shape) == [[40], [40], [40, 2, 3], [40, 0]])
    #expect(result.trace.sites.map(\.logProb.shape) == [[40], [40], [40], [40]])
    #expect(result.trace["b"]?.value.scalars == result.output.values.0.scalars)
    #expect(result.trace["nobody"] == nil)
    #expect(
      result.trace.description
        == """
        a: value [40], log-prob [40]
        x: value [40], log-prob [40], observed
        b: value [40, 2, 3], log-prob [40]
        f: value [40, 0], log-prob [40], observed
        """)
  }

  /// A model's weight is that of its observations and factors.
  @Test func theWeightOfAModel() throws {
    let result = try evaluate(Self.plate(Self.model), seed: 1)(0.5)
    let (x, f) = (try required(result.trace["x"]?.logProb), try required(result.trace["f"]?.logProb))
    #expect(result.metrics.logWeight.scalars == (x + f).scalars)
    let sums = result.output.values.0.sum(axes: [1, 2]).scalars
    #expect(zip(f.scalars, sums).allSatisfy { ($0 - $1 * 0.125).magnitude < 1e-6 * (1 + $0.magnitude) })
    #expect(
      (try? result.metrics.ess) == nil && (try? result.metrics.logZ) == nil
        && (try? result.metrics.loss) == nil)
    let kernel = Kernel { (trace) in trace.sample("a", from: Normal(0, 1)) }
    let unweighted = try evaluate(Self.plate(kernel), seed: 1)()
    #expect(unweighted.metrics.logWeight.scalars == [Float](repeating: 0, count: 40))
    #expect(try evaluate(kernel, seed: 1)().metrics.logWeight.scalars == [0])
  }

  @Test func whatIsKept() throws {
    let inference = ChainParameters().inference(Self.plate, loss: .elbo)
    func run(_ keep: EvaluationOptions.Keep) throws -> Evaluation<Tuple<Tensor>> {
      try evaluate(inference, seed: 1, options: EvaluationOptions(keep: keep))(chainData)
    }
    let (everything, output, metrics) = (try run(.everything), try run(.output), try run(.metrics))
    #expect(everything.trace.names == ["z", "x1", "y", "x2"])
    #expect(output.trace.sites.isEmpty && metrics.trace.sites.isEmpty)
    #expect(output.output.values.scalars == everything.output.values.scalars)
    #expect(metrics.output.values.scalar.isNaN, "a stand-in")
    var (all, some, few) = (Bits(), Bits(), Bits())
    for (kept, write) in [(everything, { all = $0 }), (output, { some = $0 }), (metrics, { few = $0 })]
      as [(Evaluation<Tuple<Tensor>>, (Bits) -> Void)]
    {
      var bits = Bits()
      bits.add("log-weight", kept.metrics.logWeight)
      bits.add("ess", try? kept.metrics.ess)
      bits.add("logZ", try? kept.metrics.logZ)
      bits.add("logDensity", try? kept.metrics.logDensity)
      bits.add("loss", try? kept.metrics.loss)
      write(bits)
    }
    #expect(some.differences(from: all) == [])
    #expect(few.differences(from: all) == [])
  }

  // MARK: Inputs

  @Test func inputsThatAreSharedOrMapped() throws {
    let kernel = Kernel { (trace, shared: Tensor, own: Tensor) in
      _ = trace.sample("z", from: Normal(0, 1))
      return (shared, own, own + shared)
    }
    let own = Tensor((0..<80).map(Float.init), shape: [40, 2])
    let result = try evaluate(Self.plate(kernel), seed: 1)(Tensor([10, 20]), Self.plate.mapped(own))
    let (shared, mapped, sum) = result.output.values
    #expect(shared.shape == [40, 2] && shared.scalars == (0..<40).flatMap { _ in [10, 20] as [Float] })
    #expect(mapped.shape == [40, 2] && mapped.scalars == own.scalars)
    #expect(sum.scalars == own.scalars.enumerated().map { $1 + ($0 % 2 == 0 ? 10 : 20) })
  }

  @Test func nestedPlatesMapTheirOwnData() throws {
    let (particles, instances) = (Plate("particle", count: 3, chunkRows: 2), Plate("instance", count: 4))
    let kernel = Kernel { (trace, p: Tensor, i: Tensor) in
      _ = trace.sample("z", from: Normal(0, 1))
      return 10 * p + i
    }
    let result = try evaluate(particles(instances(kernel)), seed: 1)(
      particles.mapped([0, 1, 2]), instances.mapped([0, 1, 2, 3]))
    #expect(result.output.values.shape == [3, 4])
    #expect(result.output.values.scalars == [0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23])
    #expect(result.trace["z"]?.value.shape == [3, 4])
  }

  @Test func treesAsInput() throws {
    let kernel = Kernel { (trace, network: MLP, x: [String: Tensor]) in
      trace.sample("z", from: Normal(network(x["x"] ?? 0), 1).event(1))
    }
    let data = Draw(key: 1, shape: [40, 2]).normal()
    let network = MLP(sizes: [2, 3], key: 2)
    let result = try evaluate(Self.plate(kernel), seed: 1)(network, Self.plate.mapped(["x": data]))
    #expect(result.output.values.shape == [40, 3])
    let whole = try evaluate(Self.plate(kernel), seed: 1).run(Tuple(network, Self.plate.mapped(["x": data])))
    #expect(whole.output.values.scalars == result.output.values.scalars)
  }

  /// Programs that return constants, nothing, or make no site.
  @Test func programsWithLittleToSay() throws {
    let constant = Kernel { (_: KernelTrace) in Tensor([3, 4]) }
    let result = try evaluate(Self.plate(constant), seed: 1)()
    #expect(result.output.values.shape == [40, 2])
    #expect(result.output.values.scalars == (0..<40).flatMap { _ in [3, 4] as [Float] })
    #expect(result.metrics.logWeight.shape == [40])
    let silent: Kernel<Tuple<>, Tuple<>> = Kernel { (trace) in _ = trace.sample("z", from: Normal(0, 1)) }
    #expect(try evaluate(Self.plate(silent), seed: 1)().trace["z"]?.value.shape == [40])
    let observed = Model { (trace) in
      trace.observe("x", 1, from: Normal(0, 1))
      return Tensor(0)
    }
    let weight = try evaluate(Self.plate(observed), seed: 1)().metrics.logWeight
    #expect(weight.shape == [40] && weight.scalars.allSatisfy { ($0 + 1.418_938_5).magnitude < 1e-6 })
  }

  /// One row of a plate, and no plate, draw the same numbers.
  @Test func aPlateOfOneRow() throws {
    let one = try evaluate(Plate("particle", count: 1)(Self.model), seed: 1)(0.5)
    let none = try evaluate(Self.model, seed: 1)(0.5)
    #expect(one.output.values.0.shape == [1, 2, 3] && none.output.values.0.shape == [2, 3])
    #expect(one.output.values.0.scalars == none.output.values.0.scalars)
    for (a, b) in zip(one.trace.sites, none.trace.sites) {
      #expect(a.value.scalars == b.value.scalars)
      #expect(
        zip(a.logProb.scalars, b.logProb.scalars).allSatisfy {
          ($0 - $1).magnitude < 1e-6 * (1 + $1.magnitude)
        })
    }
  }

  @Test func seeds() throws {
    func z(_ seed: PRNGKey) throws -> [Float] {
      try evaluate(Self.plate(Self.model), seed: seed)(0).output.values.1.scalars
    }
    #expect(try z(1) == z(PRNGKey(seed: 1)))
    #expect(try z(1) != z(2))
    #expect(try z(1) == z(PRNGKey(word0: 0, word1: 1)))
  }

  // MARK: Given values

  @Test func latentsThatAreGiven() throws {
    let shared = try evaluate(Self.plate(Self.model), latents: ["a": 0.25], seed: 1)(0.5)
    #expect(shared.output.values.1.scalars == [Float](repeating: 0.25, count: 40))
    let own = Tensor((0..<40).map { Float($0) / 8 })
    let mapped = try evaluate(Self.plate(Self.model), latents: ["a": Self.plate.mapped(own)], seed: 1)(0.5)
    #expect(mapped.output.values.1.scalars == own.scalars)
    let logProb = try required(mapped.trace["a"]?.logProb).scalars
    for (found, a) in zip(logProb, own.scalars) {
      #expect((Double(found) - normalLogDensity(Double(a), 0, 1)).magnitude < 1e-5)
    }
    let text = message { try evaluate(Self.plate(Self.model), latents: ["a": Tensor([1, 2])], seed: 1)(0.5) }
    #expect(
      text?.hasPrefix(#"site "a": value has event shape [2], distribution has []; expanded(to: [2])"#) == true
    )
    try expectThatEvaluationsWork()
  }

  // MARK: Concurrency

  /// Evaluations from several tasks at once don't disturb each other.
  @Test func evaluationsAtTheSameTime() async throws {
    let plate = Plate("particle", count: 500, chunkRows: 16)
    @Sendable func bits(_ seed: Int) throws -> Bits {
      var bits = Bits()
      let (result, evaluation) = try valueWithGradient(at: ChainParameters()) { parameters in
        let evaluation = try evaluate(parameters.inference(plate, loss: .iwae), seed: PRNGKey(seed: seed))(
          chainData)
        return (try evaluation.metrics.loss, evaluation)
      }
      bits.addTree("gradient", result.gradient)
      bits.add(evaluation)
      return bits
    }
    let alone = try (0..<8).map(bits)
    try await withThrowingTaskGroup(of: (Int, Bits).self) { group in
      for seed in 0..<8 { group.addTask { (seed, try bits(seed)) } }
      for try await (seed, together) in group { #expect(together.differences(from: alone[seed]) == []) }
    }
  }

  // MARK: Cancellation

  /// Cancelling the task ends a long evaluation between two chunks; the next one works.
  @Test func cancellation() async throws {
    let runs = Counter()
    let plate = Plate("particle", count: 1_000_000, chunkRows: 16)
    let kernel = Kernel { (trace) in
      runs.add(1)
      if runs.value == 10 { withUnsafeCurrentTask { $0?.cancel() } }
      return trace.sample("z", from: Normal(0, 1))
    }
    let options = EvaluationOptions(workers: try Workers(threads: 1), keep: .metrics, execution: .eager)
    let task = Task { _ = try evaluate(plate(kernel), seed: 1, options: options)() }
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(runs.value == 10)
    try expectThatEvaluationsWork()
  }

  /// The same while chunks are replayed: the program runs in the first one only.
  @Test func cancellationBetweenReplayedChunks() async throws {
    let runs = Counter()
    let plate = Plate("particle", count: 8_000_000, chunkRows: 16)
    let kernel = Kernel { (trace) in
      runs.add(1)
      return trace.sample("z", from: Normal(0, 1))
    }
    let options = EvaluationOptions(workers: try Workers(threads: 1), keep: .metrics)
    let task = Task { _ = try evaluate(plate(kernel), seed: 1, options: options)() }
    // A thread of its own: other tests may keep those of Swift's tasks busy.
    Thread.detachNewThread {
      while runs.value == 0 { Thread.sleep(forTimeInterval: 0.001) }
      Thread.sleep(forTimeInterval: 0.005)
      task.cancel()
    }
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(runs.value == 1)
    try expectThatEvaluationsWork()
  }
}

/// A value that several threads may change.
final class Locked<Value: Sendable>: Sendable {
  private let mutex: Mutex<Value>
  init(_ value: Value) { mutex = Mutex(value) }
  var value: Value {
    get { mutex.withLock { $0 } }
    set { mutex.withLock { $0 = newValue } }
  }
}
