import Coix
import ExampleModels
import Foundation
import Testing

/// Rows that stay on the rank that has computed them, in plates of so many rows that ranks compute weights in blocks.
@Suite struct RankRowsTests {
  private static let rows = 70_001
  private static let plate = Plate("particle", count: rows)

  /// Two steps of a filter, whose weights go with the rows: most children of one rank have their parents on another.
  private static func filter(_ scheme: ResamplingScheme, slope: Float, count: ParticleCount = .same)
    -> Inference<Tuple<Tensor>, Tuple<Tensor>>
  {
    let start = Kernel { (trace, row: Tensor) in
      let x = trace.sample("x", from: Normal(0, 1))
      return x + row
    }
    let weigh = Model { (trace, row: Tensor) in
      let x = trace.sample("x", from: Normal(0, 1))
      trace.observe("y", 0, from: Delta(0, logDensity: slope * row + 0.1 * x))
      return x + row
    }
    let move = Kernel { (trace, x: Tensor) in trace.sample("z", from: Normal(x, 1)) }
    let first = resample(propose(plate(weigh), plate(start)), count: count, scheme: scheme)
    let others = if case .exactly(let count) = count { Plate("particle", count: count) } else { plate }
    return compose(others(move), first)
  }

  private static let data = plate.mapped(Tensor((0..<rows).map { Float($0) / Float(rows) }))

  /// Weights that are nearly equal, and weights of which the last rows have nearly all.
  @Test(arguments: ResamplingScheme.allCases, [Float(0.1), 30])
  func resampling(_ scheme: ResamplingScheme, slope: Float) throws {
    try expectBitsOfOneRank { options in
      var bits = Bits()
      bits.add(try evaluate(Self.filter(scheme, slope: slope), seed: 5, options: options)(Self.data))
      return bits
    }
  }

  /// To other numbers of particles: more, fewer, and fewer than ranks have tasks for. Where nearly all weight is in the last rows, one
  /// rank has all parents.
  @Test(arguments: [100_003, 66_000, 3], [Float(3), 30])
  func otherCounts(_ count: Int, slope: Float) throws {
    try expectBitsOfOneRank { options in
      var bits = Bits()
      let program = Self.filter(.systematic, slope: slope, count: .exactly(count))
      bits.add(try evaluate(program, seed: 5, options: options)(Self.data))
      return bits
    }
  }

  /// Particles with weights of some slope, resampled and moved.
  private static func moved(by slope: Tensor, to plate: Plate) -> Inference<Tuple<>, Tuple<Tensor>> {
    let start = Kernel { trace in trace.sample("x", from: Normal(0, 1)) }
    let weigh = Model { trace in
      let x = trace.sample("x", from: Normal(0, 1))
      trace.observe("y", 0, from: Delta(0, logDensity: slope * x))
      return x
    }
    let move = Kernel { (trace, x: Tensor) in trace.sample("z", from: Normal(x, 1)) }
    let first = propose(Self.plate(weigh), Self.plate(start))
    return compose(plate(move), resample(first, count: plate.count))
  }

  /// Calls a compiled function of the slope: the first time it is recorded, then replayed with other keys, so that other rows move.
  private func expectSameCalls(
    _ body: @escaping @Sendable (Tensor, PRNGKey, EvaluationOptions) throws -> [Tensor]
  ) throws {
    try expectBitsOfOneRank { options in
      let step = compile(workers: options.workers) { (slope: Tensor, key: PRNGKey) in
        try body(slope, key, options)
      }
      var bits = Bits()
      for (call, slope) in [Float(0.1), 30, 0.5].enumerated() {
        bits.addTree("call \(call)", try step(Tensor(slope), key: call))
      }
      // With every program run for each chunk, nothing is recorded.
      #expect(step.runCount == (options.execution == .eager ? 3 : 1))
      return bits
    }
  }

  @Test func compiled() throws {
    try expectSameCalls { slope, key, options in
      let program = resample(Self.moved(by: slope, to: Self.plate))
      let evaluation = try evaluate(program, seed: key, options: options)()
      return [evaluation.output.values, try evaluation.metrics.ess, try evaluation.metrics.logZ]
    }
  }

  /// The last stage has fewer tasks than there are ranks, each of which runs it whole.
  @Test func compiledDownToFew() throws {
    try expectSameCalls { slope, key, options in
      let program = Self.moved(by: slope, to: Plate("particle", count: 500))
      let evaluation = try evaluate(program, seed: key, options: options)()
      return [evaluation.output.values]
    }
  }

  /// A replayed step exchanges what it needs alone: not the weights that its evaluation would hand out, 140 kB from each rank.
  @Test func replayedStepsSendLittle() throws {
    let sent = try Ranks.inProcess(2) { ranks -> Int in
      let step = try lossStep(in: Self.plate, on: ranks)
      _ = try step(Tensor(0.5), key: 0)
      let before = ranks.traffic.bytes
      for key in 1...3 { _ = try step(Tensor(0.5), key: key) }
      #expect(step.runCount == 1)
      return ranks.traffic.bytes - before
    }
    #expect(sent.allSatisfy { $0 > 0 && $0 < 3 * 60_000 }, "\(sent)")
  }

  /// A proposal that reads a site from before two resamplings, through a product of indices that its chunks make.
  @Test func pastSites() throws {
    let start = Kernel { (trace, row: Tensor) in
      _ = trace.sample("a", from: Normal(row, 1))
      return row
    }
    let weigh = Model { (trace, row: Tensor) in
      let a = trace.sample("a", from: Normal(0, 1))
      trace.observe("y", 0, from: Delta(0, logDensity: 3 * row + 0.1 * a))
      return row
    }
    let move = Kernel { (trace, x: Tensor) in
      let b = trace.sample("b", from: Normal(x, 1))
      return b
    }
    let last = Kernel { (trace, x: Tensor) in trace.sample("c", from: Normal(x, 1)) }
    let target = Model { (trace, row: Tensor) in
      let a = trace.sample("a", from: Normal(row, 2))
      let b = trace.sample("b", from: Normal(a, 1))
      return trace.sample("c", from: Normal(a + b, 1))
    }
    try expectBitsOfOneRank(on: [2, 3].map { (ranks: $0, ways: WayToRun.replayed) }) { options in
      let first = resample(propose(Self.plate(weigh), Self.plate(start)))
      let second = resample(compose(Self.plate(move), first))
      let program = propose(Self.plate(target), compose(Self.plate(last), second), loss: .elbo)
      var bits = Bits()
      bits.add(try evaluate(program, seed: 5, options: options)(Self.data))
      return bits
    }
  }

  /// A loss and its gradient through two resamplings.
  @Test func gradients() throws {
    try expectBitsOfOneRank { options in
      try DeterminismCase.bits(at: ChainParameters()) { p in
        let first = resample(p.firstStep(Self.plate, loss: .elbo))
        let inference = propose(p.target(Self.plate), compose(Self.plate(p.kernel), first), loss: .elbo)
        return try evaluate(resample(inference), seed: 5, options: options)(chainData)
      }.bits
    }
  }

  /// Each rank has its own rows of the results, which are together what one rank has.
  @Test(arguments: [70_001, 100])
  func ownRows(_ count: Int) throws {
    let plate = Plate("particle", count: count)
    let start = Kernel { (trace, row: Tensor) in
      let x = trace.sample("x", from: Normal(row, 1))
      return (x, row, Tensor(1))
    }
    let rows = plate.mapped(Tensor((0..<count).map { Float($0) }))
    @Sendable func run(_ options: EvaluationOptions) throws -> Evaluation<Tuple<Tensor, Tensor, Tensor>> {
      let weigh = Model { (trace, row: Tensor) in
        let x = trace.sample("x", from: Normal(0, 1))
        trace.observe("y", x, from: Normal(0, 1))
        return (x, row, Tensor(1))
      }
      return try evaluate(resample(propose(plate(weigh), plate(start))), seed: 1, options: options)(rows)
    }
    let whole = try run(WayToRun.plain.options())
    #expect(whole.rows == 0..<count)
    let parts = try Ranks.inProcess(3) { ranks in
      var options = EvaluationOptions(workers: try Workers(threads: 1, ranks: ranks))
      options.resultRows = .own
      return try run(options)
    }
    let isShared = count > 10_000
    #expect(
      parts.map(\.rows.lowerBound) == (isShared ? [0] + parts.dropLast().map(\.rows.upperBound) : [0, 0, 0]))
    #expect(parts.last?.rows.upperBound == count)
    for part in parts {
      let range = part.rows
      func expectPart(_ own: Tensor, of all: Tensor, _ what: String) {
        #expect(own.shape == Shape([range.count] + all.shape.dropFirst()), "\(what)")
        #expect(own.scalars == Array(all.scalars[range]), "\(what)")
      }
      for (own, all) in zip(part.output.namedTensors, whole.output.namedTensors) {
        expectPart(own.tensor, of: all.tensor, own.name)
      }
      for (own, all) in zip(part.trace.sites, whole.trace.sites) {
        expectPart(own.value, of: all.value, own.name)
        expectPart(own.logProb, of: all.logProb, own.name)
      }
      expectPart(part.metrics.logWeight, of: whole.metrics.logWeight, "log-weights")
      #expect(try part.metrics.logZ.scalar == whole.metrics.logZ.scalar)
      #expect(try part.metrics.ess.scalar == whole.metrics.ess.scalar)
    }
  }

  /// Own rows, and a file that has all of them; and what needs all rows says so.
  @Test func ownRowsBesideFiles() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("coix-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = folder.appendingPathComponent("w.npy").path
    let kernel = Kernel { trace in trace.sample("x", from: Normal(0, 1)) }
    let model = Model { trace in
      let x = trace.sample("x", from: Normal(0, 1))
      trace.observe("y", x, from: Normal(0, 1))
      return x
    }
    let program = propose(Self.plate(model), Self.plate(kernel))
    let whole = try evaluate(program, seed: 1, options: WayToRun.plain.options())()
    let rows = try Ranks.inProcess(2) { ranks in
      var options = try WayToRun.plain.options(of: ranks)
      (options.resultRows, options.files) = (.own, [.logWeight: .npy(file)])
      let own = try evaluate(program, seed: 1, options: options)()
      #expect(own.output.values.shape == [own.rows.count])
      let error = #expect(throws: CoixError.self) {
        _ = try evaluate(empirical(own), seed: 0, options: options)()
      }
      #expect("\(try #require(error))".contains("resultRows"))
      return own.rows.count
    }
    #expect(rows.reduce(0, +) == Self.rows)
    #expect(try Tensor(contentsOf: file).scalars == whole.metrics.logWeight.scalars)
  }

  @Test func ownRowsWithinAGradient() throws {
    let plate = Plate("particle", count: 100)
    var options = EvaluationOptions()
    options.resultRows = .own
    #expect(throws: CoixError.self) {
      try valueWithGradient(at: Tensor(1)) { mean in
        let program = Kernel { trace in trace.sample("x", from: Normal(mean, 1)) }
        return try evaluate(plate(program), seed: 0, options: options)().output.values.sum()
      }
    }
  }

  /// Weights that have no meaning: the same error on every rank, with the number of the particle among all of them.
  @Test(arguments: [Float.nan, .infinity, -.infinity])
  func brokenWeights(_ broken: Float) throws {
    let numbers = (0..<Self.rows).map { $0 == 60_000 || broken == -.infinity ? broken : Float(0) }
    let data = Self.plate.mapped(Tensor(numbers))
    let start = Kernel { (trace, w: Tensor) in trace.sample("x", from: Normal(0, 1)) }
    let weigh = Model { (trace, w: Tensor) in
      let x = trace.sample("x", from: Normal(0, 1))
      trace.observe("y", 0, from: Delta(0, logDensity: w))
      return x
    }
    @Sendable func problem(_ options: EvaluationOptions) -> String {
      do {
        _ = try evaluate(
          resample(propose(Self.plate(weigh), Self.plate(start))), seed: 5, options: options)(data)
        return "none"
      } catch { return "\(error)" }
    }
    let expected = try problem(WayToRun.plain.options())
    #expect(expected.contains(broken.isNaN ? "NaN" : "inf"))
    #expect(try Ranks.inProcess(2, { try problem(WayToRun.plain.options(of: $0)) }) == [expected, expected])
  }
}
