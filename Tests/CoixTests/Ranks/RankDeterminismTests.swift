import Coix
import ExampleModels
import Foundation
import Testing

/// The same bits for every number of ranks, on every rank.
@Suite struct RankDeterminismTests {
  /// One thread and two, in another order of the tasks, in both executions.
  static let ways: [WayToRun] = [EvaluationOptions.Execution.replayed, .eager].flatMap { execution in
    [(1, nil), (2, 2)].map { WayToRun(threads: $0, shuffleSeed: $1, execution: execution) }
  }

  /// The ways for a number of ranks: one thread and two, replayed and not, the other way round for three ranks.
  private static func ways(of ranks: Int) -> [WayToRun] {
    ranks.isMultiple(of: 2) ? [ways[0], ways[3]] : [ways[1], ways[2]]
  }

  /// One of them, for suites of many programs: all but one thread without replay.
  private static func way(of ranks: Int) -> [WayToRun] { [ways(of: ranks)[ranks / 4]] }

  /// Runs a computation on one rank, and on two, three and four.
  private func expectSameBits(
    atLeast numbers: Int = 1, by ways: (Int) -> [WayToRun] = Self.ways(of:),
    _ run: @escaping @Sendable (EvaluationOptions) throws -> Bits,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    try expectBitsOfOneRank(
      atLeast: numbers, on: (2...4).map { (ranks: $0, ways: ways($0)) }, sourceLocation: sourceLocation, run)
  }

  @Test(arguments: DeterminismCase.all)
  func evaluations(_ example: DeterminismCase) throws {
    try expectSameBits(atLeast: 10_000) { try example.run($0).bits }
  }

  @Test(arguments: AlgorithmExample.all)
  func algorithms(_ example: AlgorithmExample) throws {
    let plate = AlgorithmThreadTests.plate
    try expectSameBits(atLeast: 1_000, by: Self.way(of:)) { options in
      var bits = Bits()
      bits.add(try example.program(plate, at: example.parameters).run(5, options))
      let (gradient, tracked) = try valueWithGradient(at: example.parameters, workers: options.workers) {
        parameters in
        let result = try example.program(plate, at: parameters).run(5, options)
        return (try result.metrics.loss, result)
      }
      bits.add(tracked)
      bits.addTree("gradient", gradient.gradient)
      return bits
    }
  }

  /// Amortised Gibbs sampling of a mixture, trained for a step: sets of points, which are nested plates, and their particles.
  @Test func gibbsSampling() throws {
    @Sendable func digest(_ ranks: Ranks, threads: Int) throws -> String {
      var experiment = GMMExperiment()
      (experiment.steps, experiment.batch, experiment.particles, experiment.sweeps) = (1, 64, 4, 1)
      (experiment.trainCount, experiment.testCount) = (64, 1)
      var options = TrainingOptions()
      options.workers = try Workers(threads: threads, ranks: ranks)
      return try experiment.run(options: options).digest.description
    }
    let reference = try digest(.alone, threads: 1)
    for (count, threads) in [(2, 1), (4, 2)] {
      let digests = try Ranks.inProcess(count) { try digest($0, threads: threads) }
      #expect(digests == Array(repeating: reference, count: count))
    }
  }

  // MARK: Rows

  /// Numbers of rows that tasks don't divide evenly, with chunks of the runtime's choice.
  @Test(arguments: [1, 2_047, 2_049, 10_007])
  func rowsThatDoNotDivide(_ rows: Int) throws {
    let points = Draw(key: 7, shape: [rows, 2]).normal()
    let plate = Plate("particle", count: rows)
    try expectSameBits { options in
      try DeterminismCase.bits(at: VAE(key: 3)) { vae in
        try evaluate(vae.inference(plate, loss: .iwae), seed: 5, options: options)(plate.mapped(points))
      }.bits
    }
  }

  /// A program that is cut finer by trial, since its tensors are wide.
  @Test func widePrograms() throws {
    let plate = Plate("particle", count: 1_000)
    let wide = Kernel { trace in
      let z = trace.sample("z", from: Normal(.zeros([700]), 1).event(1))
      return trace.sample("y", from: Normal(tanh(z).sum(), 1))
    }
    try expectSameBits(atLeast: 1_000) { options in
      let evaluation = try evaluate(plate(wide), seed: 5, options: options)()
      #expect(evaluation.chunkCounts[0] >= 4, "of one chunk, without the trial")
      var bits = Bits()
      bits.add(evaluation)
      return bits
    }
  }

  /// Down to fewer particles than ranks, up again, and down to one without a plate.
  @Test(arguments: ResamplingScheme.allCases)
  func plateSizesThatChange(_ scheme: ResamplingScheme) throws {
    let (many, few, some) = (
      Plate("particle", count: 4_000, chunkRows: 64), Plate("particle", count: 3),
      Plate("particle", count: 2_500, chunkRows: 64)
    )
    let start = Kernel { trace in trace.sample("a", from: Normal(0, 1)) }
    let weigh = Model { trace in
      let a = trace.sample("a", from: Normal(0, 1))
      trace.observe("x", 0.5, from: Normal(a, 0.3))
      return a
    }
    @Sendable func move(_ name: String) -> Kernel<Tuple<Tensor>, Tuple<Tensor>> {
      Kernel { (trace, a: Tensor) in trace.sample(name, from: Normal(a, 1)) }
    }
    try expectSameBits(atLeast: 3) { options in
      let first = resample(
        propose(many(weigh), many(start)), count: .exactly(3), scheme: scheme)
      let second = resample(compose(few(move("b")), first), count: .exactly(2_500), scheme: scheme)
      let third = resample(compose(some(move("c")), second), count: .one, scheme: scheme)
      var bits = Bits()
      bits.add(try evaluate(compose(move("d"), third), seed: 5, options: options)())
      return bits
    }
  }

  // MARK: Resampling

  @Test(arguments: ResamplingScheme.allCases)
  func filters(_ scheme: ResamplingScheme) throws {
    let plate = Plate("particle", count: 2_000, chunkRows: 64)
    try expectSameBits(atLeast: 10_000) { options in
      try DeterminismCase.bits(at: ChainParameters()) { p in
        let first = resample(
          p.firstStep(plate, loss: .elbo), scheme: scheme, when: .ess(below: 0.9))
        let inference = propose(p.target(plate), compose(plate(p.kernel), first), loss: .elbo)
        return try evaluate(resample(inference, scheme: scheme), seed: 5, options: options)(chainData)
      }.bits
    }
  }

  private static let particles = Plate("particle", count: 2_000, chunkRows: 64)

  /// Particles with the log-weights that they are given.
  private static func weighted(_ logWeights: [Float]) -> (EvaluationOptions) throws -> Evaluation<
    Tuple<Tensor>
  > {
    let start = Kernel { (trace, w: Tensor) in
      _ = trace.sample("z", from: Normal(0, 1))
      return w
    }
    let weigh = Model { (trace, w: Tensor) in
      let z = trace.sample("z", from: Normal(0, 1))
      trace.observe("x", 0, from: Delta(0, logDensity: w))
      return z
    }
    return { options in
      try evaluate(resample(propose(particles(weigh), particles(start))), seed: 5, options: options)(
        particles.mapped(Tensor(logWeights)))
    }
  }

  /// All weight is in one row, or in those of the last rank.
  @Test func weightsOfFewRows() throws {
    let one = (0..<2_000).map { $0 == 1_234 ? Float(-3) : -.infinity }
    let last = (0..<2_000).map { $0 < 1_600 ? -Float.infinity : 0 }
    for weights in [one, last] {
      try expectSameBits(atLeast: 2_000) { options in
        var bits = Bits()
        bits.add(try Self.weighted(weights)(options))
        return bits
      }
    }
  }

  /// Weights without a meaning, wherever they are, are the same error on every rank.
  @Test func weightsWithoutMeaning() throws {
    let none = [Float](repeating: -.infinity, count: 2_000)
    let broken = (0..<2_000).map { $0 == 1_234 ? Float.nan : 0 }
    for (weights, part) in [(none, "the log-weights of all particles are -inf"), (broken, "1234 is NaN")] {
      func text(_ options: EvaluationOptions) -> String? {
        message { _ = try Self.weighted(weights)(options) }
      }
      let reference = text(try WayToRun.plain.options())
      #expect(reference?.contains(part) == true, "\(reference ?? "none")")
      for count in 2...4 {
        let options: @Sendable (Ranks) throws -> EvaluationOptions = { try WayToRun.plain.options(of: $0) }
        let texts = try Ranks.inProcess(count) { ranks in
          let options = try options(ranks)
          return message { _ = try Self.weighted(weights)(options) }
        }
        #expect(texts == Array(repeating: reference, count: count))
      }
    }
  }

  // MARK: Memories and data

  @Test func memories() throws {
    let memory: [String: Tensor] = ["c": [0, 2], "b": [1, 1]]
    try expectSameBits(atLeast: 20) { options in
      let program = memoize(MemoizeTests.model(402), MemoizeTests.proposal(400), memory: memory, size: 4)
      var bits = Bits()
      let result = try evaluate(program, seed: 3, options: options)()
      bits.add(result)
      for (name, tensor) in try result.metrics.memory.sorted(by: { $0.key < $1.key }) {
        bits.add(name, tensor)
      }
      return bits
    }
  }

  /// A gradient by data, row by row, through a resampling.
  @Test func gradientsOfData() throws {
    let plate = Plate("particle", count: 1_500, chunkRows: 32)
    let shifts = Draw(key: 3, shape: [1_500]).normal()
    try expectSameBits(atLeast: 1_500) { options in
      let result = try valueWithGradient(at: shifts, workers: options.workers) { shifts in
        let start = Kernel { (trace, shift: Tensor) in
          _ = trace.sample("z", from: Normal(shift, 1))
          return shift
        }
        let weigh = Model { (trace, shift: Tensor) in
          let z = trace.sample("z", from: Normal(0, 1))
          trace.observe("x", 0.5, from: Normal(z * shift, 1))
          return shift
        }
        let move = Kernel { (trace, shift: Tensor) in trace.sample("y", from: Normal(shift * shift, 1)) }
        let further = Model { (trace, shift: Tensor) in
          let y = trace.sample("y", from: Normal(shift, 1))
          trace.observe("x2", 0.1, from: Normal(y, 1))
          return y
        }
        let first = resample(propose(plate(weigh), plate(start), loss: .elbo))
        let inference = propose(
          plate(compose(further, weigh, suffix: false)), compose(plate(move), first), loss: .iwae)
        return try evaluate(inference, seed: 5, options: options)(plate.mapped(shifts)).metrics.loss
      }
      var bits = Bits()
      bits.add("value", result.tensor)
      bits.add("gradient", result.gradient)
      return bits
    }
  }

  // MARK: Recorded steps

  /// A training of twenty steps, recorded and now and then compared with the program.
  @Test(arguments: [Objective.elbo, .iwae].map(\.name))
  func trainings(_ name: String) throws {
    let rows = 500
    let points = Draw(key: 7, shape: [rows, 2]).normal()
    let plate = Plate("particle", count: rows, chunkRows: 16)
    try expectSameBits(atLeast: 100) { options in
      let objective = name == "elbo" ? Objective.elbo : .iwae
      let training = CompiledTraining(
        VAE(hidden: 8, key: 3), by: Adam(for: VAE(hidden: 8, key: 3)), workers: options.workers,
        checkedEvery: 7
      ) { vae, key in
        try evaluate(vae.inference(plate, loss: objective), seed: key, options: options)(plate.mapped(points))
          .metrics.loss
      }
      var bits = Bits()
      for step in 1...20 {
        bits.add("loss \(step)", Tensor(try training.step(key: PRNGKey(seed: 0).folded(in: step))))
      }
      bits.addTree("parameters", try training.parameters)
      return bits
    }
  }

  /// A compiled function of several stages: recorded once on each rank, with the exports that somebody reads and the
  /// gradients.
  @Test func compiledFunctions() throws {
    let plate = Plate("particle", count: 1_000, chunkRows: 16)
    @Sendable func run(_ options: EvaluationOptions) throws -> (bits: Bits, runs: Int) {
      let function = compile(workers: options.workers) { (p: ChainParameters, key) in
        let result = try valueWithGradient(at: p, workers: options.workers) { p in
          try evaluate(p.inference(plate, loss: .iwae), seed: key, options: options)(chainData).metrics.loss
        }
        let evaluation = try evaluate(p.inference(plate, loss: .elbo), seed: key, options: options)(chainData)
        return Tuple(result, try evaluation.metrics.logZ, evaluation.output.values)
      }
      var bits = Bits()
      for seed in 0..<4 {
        let result = try function(ChainParameters(), key: PRNGKey(seed: UInt64(seed))).values
        bits.addTree("gradient", result.0)
        bits.add("log Z", result.1)
        bits.add("output", result.2)
      }
      return (bits, function.runCount)
    }
    let reference = try run(WayToRun(execution: .replayed).options())
    #expect(reference.runs == 1)
    for count in 2...4 {
      for threads in [1, 2] {
        let results = try Ranks.inProcess(count) { ranks in
          try run(WayToRun(threads: threads, execution: .replayed).options(of: ranks))
        }
        for result in results {
          #expect(result.bits.differences(from: reference.bits) == [], "\(count) ranks")
          #expect(result.runs == 1)
        }
      }
    }
  }

  /// Chunks of one rank take another way than the recorded one: all ranks then run the program.
  @Test func guardsOfOneRank() throws {
    let plate = Plate("particle", count: 640, chunkRows: 16)
    @Sendable func concentrations(_ bad: Bool) -> Tensor {
      Tensor((0..<640).map { bad && $0 > 600 ? 0.01 : 2 + Float($0 % 5) })
    }
    let kernel = Kernel { (trace, c: Tensor) in trace.sample("z", from: Gamma(c, 1)) }
    try expectSameBits(atLeast: 640) { options in
      let function = compile(workers: options.workers) { (c: Tensor, key) in
        let evaluation = try evaluate(plate(kernel), seed: key, options: options)(plate.mapped(c))
        return evaluation.output.values
      }
      var bits = Bits()
      for (seed, bad) in [false, false, true, false].enumerated() {
        bits.add("z \(seed)", try function(concentrations(bad), key: PRNGKey(seed: UInt64(seed))))
      }
      return bits
    }
  }

  /// What a hot step of training sends: its parameters' sums and gradients, its rows' weights, and little else.
  @Test func bytesOfAStep() throws {
    let (rows, steps) = (256, 5)
    let points = Draw(key: 7, shape: [rows, 2]).normal()
    let plate = Plate("particle", count: rows, chunkRows: 16)
    let parameters = VAE(hidden: 512, key: 3)
    let sent = try Ranks.inProcess(2) { ranks -> Int in
      let options = EvaluationOptions(workers: try Workers(threads: 1, ranks: ranks), keep: .metrics)
      let training = CompiledTraining(parameters, by: Adam(for: parameters), workers: options.workers) {
        vae, key in
        try evaluate(vae.inference(plate, loss: .elbo), seed: key, options: options)(plate.mapped(points))
          .metrics.loss
      }
      _ = try training.step(key: 0)
      let before = ranks.traffic.bytes
      for step in 1...steps { _ = try training.step(key: PRNGKey(seed: UInt64(step))) }
      return (ranks.traffic.bytes - before) / steps
    }
    let count = parameters.flattened.reduce(0) { $0 + $1.shape.elementCount }
    #expect(count > 5_000)
    #expect(sent[0] >= 8 * count && sent[0] <= 8 * count + 4 * rows + 1_000)
    #expect(sent[1] >= 4 * count && sent[1] <= 4 * count + 4 * rows + 1_000)
  }
}
