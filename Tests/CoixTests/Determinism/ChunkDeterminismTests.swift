import Coix
import ExampleModels
import Synchronization
import Testing

/// What the cut into chunks may change, and what it may not.
@Suite struct ChunkDeterminismTests {
  /// Whether two sums over the rows agree but for the order of their terms.
  private func areNear(_ one: Tensor, _ other: Tensor) -> Bool {
    let (one, other) = (one.scalar, other.scalar)
    return (one - other).magnitude <= 1e-6 * (1 + other.magnitude)
  }

  /// Draws, values and weights of a row don't depend on its chunk; sums over rows only by rounding.
  @Test(arguments: [16, 48, 400, 1024])
  func valuesDoNotDependOnTheChunkSize(_ chunkRows: Int) throws {
    let points = Draw(key: 7, shape: [2_000, 2]).normal()
    func evaluation(_ rows: Int?) throws -> Evaluation<Tuple<Tensor>> {
      let plate = Plate("particle", count: 2_000, chunkRows: rows)
      return try evaluate(VAE(key: 3).inference(plate, loss: .elbo), seed: 5)(plate.mapped(points))
    }
    let (one, other) = (try evaluation(chunkRows), try evaluation(2_000))
    #expect(one.chunkCounts == [(2_000 + chunkRows - 1) / chunkRows])
    #expect(other.chunkCounts == [1])
    try expectSameRows(one, other)
    #expect(try areNear(one.metrics.loss, other.metrics.loss))
    #expect(try areNear(one.metrics.logDensity, other.metrics.logDensity))
  }

  /// The same with a resampling in between: the same ancestors.
  @Test(arguments: [16, 48, 400, 1024])
  func ancestorsDoNotDependOnTheChunkSize(_ chunkRows: Int) throws {
    func evaluation(_ rows: Int?) throws -> Evaluation<Tuple<Tensor>> {
      let plate = Plate("particle", count: 2_000, chunkRows: rows)
      return try evaluate(ChainParameters().inference(plate, loss: .elbo), seed: 5)(chainData)
    }
    let (one, other) = (try evaluation(chunkRows), try evaluation(2_000))
    try expectSameRows(one, other)
    #expect(try areNear(one.metrics.loss, other.metrics.loss))
    #expect(try areNear(one.metrics.logDensity, other.metrics.logDensity))
  }

  private func expectSameRows(_ one: Evaluation<Tuple<Tensor>>, _ other: Evaluation<Tuple<Tensor>>) throws {
    func rows(_ evaluation: Evaluation<Tuple<Tensor>>) -> Bits {
      var bits = Bits()
      bits.addTree("output", evaluation.output)
      for site in evaluation.trace.sites {
        bits.add("value of \(site.name)", site.value)
        bits.add("log-probability of \(site.name)", site.logProb)
      }
      bits.add("log-weight", evaluation.metrics.logWeight)
      // Computed from the weights at the barrier, so that no cut matters.
      bits.add("ess", try? evaluation.metrics.ess)
      bits.add("logZ", try? evaluation.metrics.logZ)
      return bits
    }
    #expect(rows(one).differences(from: rows(other)) == [])
  }

  /// Gradients differ by rounding only.
  @Test(arguments: [Objective.elbo, .iwae].map(\.name))
  func gradientsDependOnTheChunkSizeByRoundingOnly(_ name: String) throws {
    let objective: Objective = name == "elbo" ? .elbo : .iwae
    func gradient(_ chunkRows: Int) throws -> ChainParameters {
      let plate = Plate("particle", count: 2_000, chunkRows: chunkRows)
      return try valueWithGradient(at: ChainParameters()) { parameters in
        try evaluate(parameters.inference(plate, loss: objective), seed: 5)(chainData).metrics.loss
      }.gradient
    }
    let whole = try gradient(2_000)
    for chunkRows in [16, 48, 1024] { #expect(try greatestDifference(gradient(chunkRows), whole) < 2e-6) }
  }

  // MARK: Backward while hot, after the barrier, and from a tape recorded anew

  /// The loss and its gradient, and how often the encoder's closure ran.
  private func gradient(
    rows: Int, chunkRows: Int?, objective: Objective, hidden: Int = 32,
    way: WayToRun = WayToRun(threads: 3), reading metric: @escaping (Metrics) throws -> Tensor
  ) throws -> (result: ValueWithGradient<VAE>, runs: Int, chunks: Int) {
    let points = Draw(key: 7, shape: [rows, 2]).normal()
    let plate = Plate("particle", count: rows, chunkRows: chunkRows)
    let options = try way.options { $0.keep = .metrics }
    let runs = Counter()
    let (result, chunks) = try valueWithGradient(at: VAE(hidden: hidden, key: 3)) { vae in
      let encoder = Kernel { (trace, x: Tensor) in
        runs.add(1)
        return trace.sample("z", from: Normal(vae.encoder(x), 0.5).event(1))
      }
      let inference = propose(vae.target(plate), plate(encoder), loss: objective)
      let evaluation = try evaluate(inference, seed: 5, options: options)(plate.mapped(points))
      return (try metric(evaluation.metrics), evaluation.chunkCounts.reduce(0, +))
    }
    return (result, runs.value, chunks)
  }

  /// -Σ v / S, which is the ELBO of an unweighted proposal, but is not known to need no other particle.
  static let slowELBO = Objective("slow ELBO") { inputs in
    inputs.incrementalLogWeight * Tensor(-1 / Float(inputs.incrementalLogWeight.shape[0]))
  }

  @Test func theHotPathRunsEachChunkOnce() throws {
    let hot = try gradient(rows: 1_000, chunkRows: 16, objective: .elbo) { try $0.loss }
    #expect(hot.chunks == 63)
    #expect(hot.runs == hot.chunks)
  }

  /// Three ways to one gradient: at once; after the barrier; both, when log Z is read besides.
  @Test func theHotGradientIsTheGradient() throws {
    let hot = try gradient(rows: 1_000, chunkRows: 16, objective: .elbo) { try $0.loss }
    let cold = try gradient(rows: 1_000, chunkRows: 16, objective: Self.slowELBO) { try $0.loss }
    #expect((hot.result.value - cold.result.value).magnitude < 1e-6 * (1 + cold.result.value.magnitude))
    #expect(greatestDifference(hot.result.gradient, cold.result.gradient) < 1e-6)

    func both(_ metrics: Metrics) throws -> Tensor { try metrics.loss * 2 - metrics.logZ }
    let hotBoth = try gradient(rows: 1_000, chunkRows: 16, objective: .elbo, reading: both)
    let coldBoth = try gradient(rows: 1_000, chunkRows: 16, objective: Self.slowELBO, reading: both)
    #expect(greatestDifference(hotBoth.result.gradient, coldBoth.result.gradient) < 1e-6)
    #expect(hotBoth.runs == 2 * hotBoth.chunks, "log Z needs the chunks once more")
    #expect(coldBoth.runs == coldBoth.chunks, "these tapes were kept")
  }

  /// Replayed, the program runs for the first chunk and for the last, which is shorter; and for those that it
  /// takes to find out what the way back computes.
  @Test func replayedProgramsRunForFewChunks() throws {
    func loss(_ metrics: Metrics) throws -> Tensor { try metrics.loss }
    func both(_ metrics: Metrics) throws -> Tensor { try metrics.loss * 2 - metrics.logZ }
    // With log Z, the way back of a hot stage records the first chunk's tape anew, the second one's and the
    // last one's. A stage that isn't hot has kept the first and the last.
    let cases: [(Objective, (Metrics) throws -> Tensor, runs: Int)] = [
      (.elbo, loss, 2), (.elbo, both, 5), (.iwae, loss, 3), (Self.slowELBO, both, 3),
    ]
    for (objective, metric, runs) in cases {
      let eager = try gradient(rows: 1_000, chunkRows: 16, objective: objective, reading: metric)
      var bits = Bits()
      bits.addTree("gradient", eager.result.gradient)
      for way in WayToRun.others where way.execution == .replayed {
        let replayed = try gradient(
          rows: 1_000, chunkRows: 16, objective: objective, way: way, reading: metric)
        var replayedBits = Bits()
        replayedBits.addTree("gradient", replayed.result.gradient)
        #expect(replayedBits.differences(from: bits) == [], "\(objective.name), \(way)")
        #expect(
          replayed.result.value.bitPattern == eager.result.value.bitPattern, "\(objective.name), \(way)")
        #expect(replayed.chunks == eager.chunks)
        // Until the first chunk is recorded, other workers run the program on theirs.
        if way.threads == 1 && way.shuffleSeed == nil { #expect(replayed.runs == runs, "\(objective.name)") }
      }
    }
  }

  /// Tapes beyond the budget are recorded anew. Which ones, depends on the order of the chunks; the gradient
  /// doesn't.
  @Test func gradientsAreTheSameFromKeptAndRecordedTapes() throws {
    let rows = 60_000
    let kept = try gradient(rows: rows, chunkRows: 400, objective: .iwae, hidden: 128) { try $0.loss }
    #expect(kept.chunks == 150)
    #expect(kept.runs > kept.chunks, "some tapes were dropped")
    #expect(kept.runs < 2 * kept.chunks, "and some kept")
    var bits = Bits()
    bits.addTree("gradient", kept.result.gradient)
    let ways = [
      WayToRun(threads: 3, shuffleSeed: 1), WayToRun(threads: 3, shuffleSeed: 2),
      WayToRun(threads: 3, execution: .replayed), WayToRun(threads: 3, shuffleSeed: 1, execution: .replayed),
    ]
    for way in ways {
      let other = try gradient(rows: rows, chunkRows: 400, objective: .iwae, hidden: 128, way: way) {
        try $0.loss
      }
      var otherBits = Bits()
      otherBits.addTree("gradient", other.result.gradient)
      #expect(otherBits.differences(from: bits) == [], "\(way)")
      #expect(other.result.value.bitPattern == kept.result.value.bitPattern, "\(way)")
    }
  }

  /// A cut that was chosen for a plain evaluation holds for one with a gradient.
  @Test func theCutIsTheSameWithAGradient() throws {
    let points = Draw(key: 7, shape: [3_000, 2]).normal()
    let plate = Plate("particle", count: 3_000)
    for objective in [Objective.elbo, .iwae] {
      let plain = try evaluate(VAE(key: 3).inference(plate, loss: objective), seed: 5)(plate.mapped(points))
      let (_, tracked) = try valueWithGradient(at: VAE(key: 3)) { vae in
        let evaluation = try evaluate(vae.inference(plate, loss: objective), seed: 5)(plate.mapped(points))
        return (try evaluation.metrics.loss, evaluation)
      }
      #expect(plain.chunkCounts == tracked.chunkCounts)
      var (bits, trackedBits) = (Bits(), Bits())
      bits.add(plain)
      trackedBits.add(tracked)
      #expect(trackedBits.differences(from: bits) == [], "a tape changes no number")
    }
  }
}

/// Counts across threads.
final class Counter: Sendable {
  private let count = Atomic<Int>(0)
  var value: Int { count.load(ordering: .relaxed) }
  func add(_ number: Int) { count.add(number, ordering: .relaxed) }
}
