import Coix
import ExampleModels
import Foundation
import Synchronization
import Testing

/// What goes wrong on one rank is known to all.
@Suite struct RankErrorTests {
  private static let plate = Plate("particle", count: 1_600, chunkRows: 16)

  @Test(arguments: ErrorDeterminismTests.all)
  func everyRankThrowsTheSame(_ faults: ErrorDeterminismTests.Faults) throws {
    func text(_ options: EvaluationOptions) -> String? { message { try faults.run(options) } }
    let reference = text(try WayToRun.plain.options { $0.checks = true })
    #expect(reference?.contains(faults.expected) == true, "\(reference ?? "none")")
    for count in 2...4 {
      let texts = try Ranks.inProcess(count) { ranks in
        let options = try WayToRun(threads: 2, shuffleSeed: 1).options(of: ranks) { $0.checks = true }
        return message { try faults.run(options) }
      }
      #expect(texts == Array(repeating: reference, count: count))
    }
  }

  struct OutOfPaper: Error {}

  /// An error of the program's own, in the last chunk.
  @Test func errorsOfClosures() throws {
    let data = Tensor((0..<1_600).map { Float($0) })
    let kernel = Kernel { (trace, x: Tensor) in
      if x.isWithin(1_590...1_600) || !x.isWithin(0...1_590) { throw OutOfPaper() }
      return trace.sample("z", from: Normal(x, 1))
    }
    let errors = try Ranks.inProcess(3) { ranks -> String? in
      do {
        let options = try WayToRun.plain.options(of: ranks)
        _ = try evaluate(Self.plate(kernel), seed: 0, options: options)(Self.plate.mapped(data))
        return nil
      } catch { return "\(type(of: error)): \(error)" }
    }
    let others = "CoixError: rank 2 has failed: OutOfPaper()"
    #expect(errors == [others, others, "OutOfPaper: OutOfPaper()"])
  }

  /// Cancellation of one rank's task ends the evaluation on all of them.
  @Test func cancellation() throws {
    let errors = try Ranks.inProcess(3) { ranks -> String? in
      let error = Mutex<String?>(nil)
      let isOver = DispatchSemaphore(value: 0)
      let kernel = Kernel { trace in
        if ranks.index == 1 { withUnsafeCurrentTask { $0?.cancel() } }
        return trace.sample("z", from: Normal(0, 1))
      }
      @Sendable func run() {
        do {
          let options = try WayToRun.plain.options(of: ranks)
          _ = try evaluate(Self.plate(kernel), seed: 0, options: options)()
        } catch let caught { error.withLock { $0 = "\(type(of: caught))" } }
        isOver.signal()
      }
      // The others must not take the threads that the task needs.
      if ranks.index == 1 { Task.detached { run() } } else { run() }
      isOver.wait()
      return error.withLock { $0 }
    }
    #expect(errors == Array(repeating: "CancellationError", count: 3))
  }

  /// A rank that evaluates what others don't: all are told where they are.
  @Test func programsThatDiffer() throws {
    let kernel = Kernel { trace in trace.sample("z", from: Normal(0, 1)) }
    let other = Plate("particle", count: 3_200, chunkRows: 16)
    let texts = try Ranks.inProcess(3) { ranks -> String? in
      let options = try WayToRun.plain.options(of: ranks)
      return message {
        if ranks.index == 1 { _ = try evaluate(other(kernel), seed: 0, options: options)() }
        _ = try evaluate(Self.plate(kernel), seed: 0, options: options)()
      }
    }
    for text in texts {
      #expect(
        text?.contains("is at the end of a stage (size 100, meeting 1), rank 1 (") == true, "\(text ?? "")")
      #expect(text?.contains("at the end of a stage (size 200, meeting 1)") == true, "\(text ?? "")")
    }
  }

  // MARK: Keys

  /// What ranks complain of where rank 1 runs with another seed than the others, if it does.
  private static func complaints(
    differs: Bool, _ run: @escaping @Sendable (_ ranks: Ranks, _ seed: Int) throws -> Void
  ) throws -> [String?] {
    try Ranks.inProcess(3) { ranks in
      do { try run(ranks, differs && ranks.index == 1 ? 8 : 7) } catch { return "\(error)" }
      return nil
    }
  }

  private func expectKeysAreCompared(
    sourceLocation: SourceLocation = #_sourceLocation,
    _ run: @escaping @Sendable (_ ranks: Ranks, _ seed: Int) throws -> Void
  ) throws {
    #expect(
      try Self.complaints(differs: false, run) == [nil, nil, nil], sourceLocation: sourceLocation)
    for text in try Self.complaints(differs: true, run) {
      let text = text ?? "nothing"
      #expect(
        text.contains(") evaluates with another seed or key than rank 1 ("), "\(text)",
        sourceLocation: sourceLocation)
      #expect(
        text.hasSuffix("); all ranks must run the same program"), "\(text)", sourceLocation: sourceLocation)
    }
  }

  @Test func keysOfStages() throws {
    let kernel = Kernel { trace in trace.sample("z", from: Normal(0, 1)) }
    try expectKeysAreCompared { ranks, seed in
      let options = try WayToRun.plain.options(of: ranks)
      _ = try evaluate(Self.plate(kernel), seed: seed, options: options)()
    }
  }

  /// An evaluation without a meeting of its own, since each rank runs all of it.
  @Test func keysOfSmallPlates() throws {
    let small = Plate("particle", count: 2)
    let kernel = Kernel { trace in trace.sample("z", from: Normal(0, 1)) }
    try expectKeysAreCompared { ranks, seed in
      let options = try WayToRun.plain.options(of: ranks)
      _ = try evaluate(small(kernel), seed: seed, options: options)()
      _ = try evaluate(small(kernel), seed: 0, options: options)()
      _ = try ranks.first(0)
    }
  }

  /// A step that is replayed runs no evaluation.
  @Test func keysOfRecordedSteps() throws {
    try expectKeysAreCompared { ranks, seed in
      let step = try lossStep(in: Self.plate, on: ranks)
      for key in 0..<2 { _ = try step(Tensor(0.5), key: key) }
      #expect(step.runCount == 1)
      _ = try step(Tensor(0.5), key: seed)
    }
  }

  @Test func keysOfTrainings() throws {
    try expectKeysAreCompared { ranks, seed in _ = try Self.train(ranks, steps: 2, seed: seed) }
  }

  // MARK: Training

  /// Trainings that start from other parameters would go on with other ones.
  @Test func parametersThatDiffer() throws {
    let texts = try Ranks.inProcess(3) { ranks in
      message { _ = try Self.train(ranks, steps: 2, start: VAE(hidden: 8, key: ranks.index == 1 ? 4 : 3)) }
    }
    let expected = "ranks: the parameters that the training starts from differ between ranks"
    #expect(texts == Array(repeating: expected, count: 3))
  }

  /// Trainings that would go on from different checkpoints, or from one and from none.
  @Test func stepsThatDiffer() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    func path(_ steps: Int) -> String { folder.appending(path: "\(steps).safetensors").path }
    for steps in [2, 4] { _ = try Self.train(.alone, steps: steps, checkpoint: path(steps)) }
    for (first, other, start, otherStart) in [
      (2, 4, "goes on after step 2", "goes on after step 4"), (4, 6, "goes on after step 4", "begins anew"),
      (6, 2, "begins anew", "goes on after step 2"),
    ] {
      let paths = [path(first), path(first), path(other)]
      let texts = try Ranks.inProcess(3) { ranks in
        message { _ = try Self.train(ranks, steps: 8, checkpoint: paths[ranks.index], resumes: true) }
      }
      let text = texts[0] ?? ""
      #expect(
        text.hasPrefix("ranks: rank 0 (") && text.contains(") \(start), rank 2 (")
          && text.hasSuffix(") \(otherStart); all ranks must read the same checkpoint"), "\(text)")
      #expect(texts == Array(repeating: text, count: 3))
    }
  }

  private static func train(
    _ ranks: Ranks, steps: Int, start: VAE = VAE(hidden: 8, key: 3), seed: Int = 0, checkpoint: String? = nil,
    resumes: Bool = false,
    onStep: ((TrainingStep) throws -> Void)? = nil
  ) throws -> TrainingResult<Adam<VAE>> {
    let workers = try Workers(threads: 1, ranks: ranks)
    let evaluation = EvaluationOptions(workers: workers, keep: .metrics)
    let points = Draw(key: 7, shape: [400, 2]).normal()
    let plate = Plate("particle", count: 200, chunkRows: 16)
    var options = TrainingOptions()
    options.workers = workers
    options.checkpoint = checkpoint
    options.checkpointEvery = checkpoint == nil ? nil : 2
    options.resumes = resumes
    return try Coix.train(
      start, by: Adam(for: start), on: Batches(of: points, size: 200), steps: steps, seed: seed,
      options: options,
      onStep: onStep
    ) { vae, batch, key in
      try evaluate(vae.inference(plate, loss: .elbo), seed: key, options: evaluation)(plate.mapped(batch))
        .metrics.loss
    }
  }

  /// A checkpoint is written by the first rank; any number of ranks goes on from it, with the same bits.
  @Test func checkpointsOfOtherRanks() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    var expected = Bits()
    expected.addTree("parameters", try Self.train(.alone, steps: 8).parameters)
    let stop = CoixError.argument("stop")
    for (before, after) in [(1, 3), (3, 2), (2, 1)] {
      let path = folder.appending(path: "\(before).safetensors").path
      let ends = try Ranks.inProcess(before) { ranks in
        message {
          _ = try Self.train(ranks, steps: 8, checkpoint: path) { if $0.step == 5 { throw stop } }
        }
      }
      #expect(ends == Array(repeating: "stop", count: before))
      let results = try Ranks.inProcess(after) { ranks -> Bits in
        var bits = Bits()
        bits.addTree(
          "parameters", try Self.train(ranks, steps: 8, checkpoint: path, resumes: true).parameters)
        return bits
      }
      for bits in results { #expect(bits.differences(from: expected) == []) }
    }
  }

  /// A file that the first rank cannot write is an error of all.
  @Test func checkpointsThatCannotBeWritten() throws {
    let path = "/nowhere/\(UUID().uuidString)/x.safetensors"
    let texts = try Ranks.inProcess(3) { ranks in
      message { _ = try Self.train(ranks, steps: 2, checkpoint: path) }
    }
    #expect(texts[0]?.hasPrefix(path) == true, "\(texts[0] ?? "")")
    #expect(texts == Array(repeating: texts[0], count: 3))
  }
}
