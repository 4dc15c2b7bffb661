import Coix
import ExampleModels
import Foundation
import Testing

/// Trainings that are interrupted and resumed give the bits of those that are not.
@Suite struct CheckpointTests {
  private typealias Tree = OptaxTests.Tree
  private static let start = TrainTests.start
  /// One row makes a step that is skipped.
  private static let data = Tensor(TrainTests.data.scalars + [.nan])

  /// Trains up to a step.
  private func trained<Rule: Optimizer<OptaxTests.Tree>>(
    _ rule: Rule, until last: Int, _ path: String? = nil, every: Int? = nil
  ) throws -> TrainingResult<Rule> {
    var options = TrainingOptions()
    options.checkpoint = path
    options.checkpointEvery = every
    options.resumes = path != nil
    options.reportEvery = 1
    options.earlyStopping = EarlyStopping(patience: 1_000)
    return try train(
      Self.start, by: rule, on: Batches(of: Self.data, size: 5), steps: last, seed: 3, options: options,
      loss: TrainTests.loss)
  }

  private func check<Rule: Optimizer<OptaxTests.Tree>>(_ rule: Rule, _ name: String) throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.safetensors"
      let whole = try trained(rule, until: 17)
      for last in [1, 2, 9, 16, 17] {
        let part = try trained(rule, until: last, path)
        #expect(part.step == last && part.end == .completed, "\(name)")
      }
      let resumed = try trained(rule, until: 17, path)
      #expect(resumed.step == 17 && resumed.secondsPerStep == nil, "all steps were there already")
      #expect(TrainTests.bits(resumed.parameters) == TrainTests.bits(whole.parameters), "\(name)")
      #expect(TrainTests.bits(resumed.optimizer) == TrainTests.bits(whole.optimizer), "\(name)")
      // What a NaN was, its bits don't say.
      #expect("\(resumed.optimizer.counts)" == "\(whole.optimizer.counts)", "\(name)")
      #expect(whole.optimizer.skippedCount >= 5 && whole.optimizer.stepCount >= 11, "\(name)")

      let checkpoint = try Checkpoint(contentsOf: path, for: Self.start, by: rule)
      #expect(checkpoint.step == 17 && checkpoint.key == PRNGKey(seed: 3) && checkpoint.seconds > 0)
      #expect(TrainTests.bits(checkpoint.parameters) == TrainTests.bits(whole.parameters), "\(name)")
    }
  }

  @Test(arguments: OptaxTests.rules.keys.sorted())
  func resumedTrainingsAreThoseThatWereNotInterrupted(_ name: String) throws {
    let make = try #require(OptaxTests.rules[name])
    try check(make(Self.start, .linear(from: 0.01, to: 0.001, steps: 10)), name)
    try check(make(Self.start, 0.01), name)
  }

  @Test func checkpointsComeAsOftenAsAskedFor() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.safetensors"
      var seen: [Int?] = []
      var options = TrainingOptions()
      options.checkpoint = path
      options.checkpointEvery = 3
      try train(
        Tensor(0), by: SGD(learningRate: 1), steps: 8, seed: 0, options: options,
        onStep: { _ in
          seen.append(
            try? Checkpoint(contentsOf: path, for: Tensor(0), by: SGD<Tensor>(learningRate: 1)).step)
        }
      ) { x, _ in x }
      #expect(seen == [nil, nil, nil, 3, 3, 3, 6, 6])
      let last = try Checkpoint(contentsOf: path, for: Tensor(0), by: SGD<Tensor>(learningRate: 1))
      #expect(last.step == 8 && last.parameters.scalar == -8)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a.safetensors"])
    }
  }

  /// A training that stops early goes on to wait where it stopped waiting.
  @Test func patienceIsPartOfACheckpoint() throws {
    try withTemporaryFolder { folder in
      func run(until last: Int, _ path: String?) throws -> TrainingResult<SGD<Tensor>> {
        var options = TrainingOptions()
        options.reportEvery = 1
        options.earlyStopping = EarlyStopping(patience: 4)
        options.checkpoint = path
        options.resumes = path != nil
        return try train(
          Tensor(0), by: SGD(learningRate: 1), steps: last, seed: 0, options: options
        ) { x, _ in x - 2 * x.detached }
      }
      #expect(try run(until: 3, "\(folder)/a").end == .completed)
      // A training that has stopped early stays so.
      for _ in 0..<3 {
        let resumed = try run(until: 50, "\(folder)/a")
        #expect(resumed.end == .stoppedEarly && resumed.step == 5)
      }
      #expect(try run(until: 50, nil).step == 5)
    }
  }

  /// The losses since the last report are part of a checkpoint, and what comes because a step is the last one is not.
  @Test(arguments: [1, 4, 7, 10, 15])
  func reportsAndDecisionsAreThoseOfAWholeTraining(_ last: Int) throws {
    try withTemporaryFolder { folder in
      func run(until last: Int, _ path: String?) throws -> (step: Int, end: String, means: [Int: Float]) {
        var options = TrainingOptions()
        options.reportEvery = 5
        options.earlyStopping = EarlyStopping(patience: 2)
        options.checkpoint = path
        options.resumes = path != nil
        var means: [Int: Float] = [:]
        let result = try train(
          Tensor(0), by: SGD(learningRate: 0.5), steps: last, seed: 0, options: options,
          onStep: { if $0.step.isMultiple(of: 5) { means[$0.step] = $0.meanLoss } },
          loss: { x, key in (x - 3).squared + Draw(key: key, shape: []).normal() })
        return (result.step, "\(result.end)", means)
      }
      let whole = try run(until: 200, nil)
      #expect(whole.end == "stoppedEarly" && whole.step < 200 && whole.step > last)
      let first = try run(until: last, "\(folder)/a")
      let rest = try run(until: 200, "\(folder)/a")
      #expect(rest.step == whole.step && rest.end == whole.end)
      #expect(first.means.merging(rest.means) { $1 } == whole.means)
    }
  }

  @Test func metricsGoOnBehindTheLinesOfTheCheckpoint() throws {
    try withTemporaryFolder { folder in
      var options = TrainingOptions()
      options.checkpoint = "\(folder)/a.safetensors"
      options.checkpointEvery = 4
      options.metrics = "\(folder)/a.jsonl"
      options.resumes = true
      options.reportEvery = 1
      struct Stop: Error {}
      func run(stopAfter last: Int) throws -> [Int] {
        do {
          try train(
            Tensor(0), by: SGD(learningRate: 1), steps: 10, seed: 0, options: options,
            onStep: { if $0.step == last { throw Stop() } }
          ) { x, _ in x }
        } catch is Stop {}
        struct Line: Decodable { let step: Int }
        return try String(contentsOfFile: "\(folder)/a.jsonl", encoding: .utf8).split(separator: "\n").map {
          try JSONDecoder().decode(Line.self, from: Data($0.utf8)).step
        }
      }
      #expect(try run(stopAfter: 7) == Array(1...7))
      // A line that was not written to its end.
      let file = try #require(FileHandle(forWritingAtPath: "\(folder)/a.jsonl"))
      try file.seekToEnd()
      try file.write(contentsOf: Data(#"{"step":8,"lo"#.utf8))
      try file.close()
      #expect(try run(stopAfter: 6) == Array(1...6))
      #expect(try run(stopAfter: 0) == Array(1...10))
      options.resumes = false
      #expect(try run(stopAfter: 2) == [1, 2])
    }
  }

  /// Whatever else is in a file that metrics would go on in stays there.
  @Test(arguments: [
    ("loss,accuracy\n", 1), ("{\"step\":1}\nnote\n{\"step\":2}\n", 2), ("{\"step\":1}\n{\"epoch\":2}\n", 2),
    ("{\"step\":1}\n\n{\"step\":2}\n", 2), ("a last line", 1), ("{\"step\":1}\n{\"st\n{\"step\":2}\n", 2),
    ("{\"epoch\": 3}", 1), ("{\"step\":1}\n{\"epoch\": 3}", 2),
  ])
  func metricsOfSomethingElse(_ text: String, _ line: Int) throws {
    try withTemporaryFolder { folder in
      var options = TrainingOptions()
      options.checkpoint = "\(folder)/a.safetensors"
      options.resumes = true
      func run(until last: Int) throws {
        try train(Tensor(0), by: SGD(learningRate: 1), steps: last, seed: 0, options: options) { x, _ in x }
      }
      try run(until: 2)
      let metrics = "\(folder)/a.jsonl"
      try Data(text.utf8).write(to: URL(fileURLWithPath: metrics))
      options.metrics = metrics
      #expect(
        complaint(about: metrics) { try run(until: 3) }
          == "line \(line) is not a step of a training, which would go on behind it; write its metrics to another file"
      )
      #expect(try String(contentsOfFile: metrics, encoding: .utf8) == text)
      options.resumes = false
      try run(until: 3)
      #expect(try String(contentsOfFile: metrics, encoding: .utf8).hasPrefix("{"), "nothing is gone on with")
    }
  }

  // MARK: Ends from outside

  /// In a process of its own, since signals are everybody's.
  @Test func signalsEndATrainingAfterItsStep() async {
    await #expect(processExitsWith: .success) {
      for (signal, name) in [(SIGINT, "SIGINT"), (SIGTERM, "SIGTERM")] {
        try withTemporaryFolder { folder in
          func run(_ options: TrainingOptions, raiseAt last: Int = 0) throws -> TrainingResult<SGD<Tensor>> {
            try train(
              Tensor(0), by: SGD(learningRate: 1), steps: 9, seed: 0, options: options,
              onStep: { if $0.step == last { raise(signal) } },
              loss: { x, key in x * Draw(key: key, shape: []).normal() })
          }
          var options = TrainingOptions()
          options.stopsOnSignals = true
          options.checkpoint = "\(folder)/a.safetensors"
          options.resumes = true
          let lines = Lines()
          options.reports = .lines { lines.add($0) }
          let part = try run(options, raiseAt: 4)
          #expect(part.end == .interrupted(signal: signal) && part.step == 4)
          let advice = "to go on, resume from \(folder)/a.safetensors"
          #expect(lines.all.last == "interrupted by \(name) after step 4; \(advice)")
          let resumed = try run(options)
          #expect(lines.all.contains("resumed after step 4 from \(folder)/a.safetensors"))
          #expect(resumed.end == .completed)
          let whole = try run(TrainingOptions())
          #expect(resumed.parameters.scalar == whole.parameters.scalar)
          // Whoever had the signal before has it again.
          var action = sigaction()
          sigaction(signal, nil, &action)
          #expect(unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 0)
        }
      }
    }
  }

  @Test func cancellationLeavesACheckpoint() async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("coix-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let path = "\(folder.path)/a.safetensors"
    let task = Task {
      var options = TrainingOptions()
      options.checkpoint = path
      try train(
        Tensor(0), by: SGD(learningRate: 1), steps: 1_000_000, seed: 0, options: options,
        onStep: { if $0.step == 5 { withUnsafeCurrentTask { $0?.cancel() } } }
      ) { x, _ in x }
    }
    await #expect(throws: CancellationError.self) { try await task.value }
    let checkpoint = try Checkpoint(contentsOf: path, for: Tensor(0), by: SGD<Tensor>(learningRate: 1))
    #expect(checkpoint.step == 5 && checkpoint.parameters.scalar == -5)
  }

  // MARK: Processes that end

  private func process(_ arguments: [String]) throws -> Process {
    let process = processOfExamples(
      ["vae", "--train", "200", "--test", "20", "--batch", "16", "--threads", "1"] + arguments,
      output: FileHandle.nullDevice)
    process.standardError = FileHandle.nullDevice
    return process
  }

  /// Whenever a process is killed, also in the middle of writing, there is a whole checkpoint, and the end is the same.
  @Test func killedProcesses() throws {
    try withTemporaryFolder { folder in
      let steps = ["--steps", "150", "--checkpoint-every", "1"]
      let whole = try process(steps + ["--out", "\(folder)/whole"])
      try whole.run()
      whole.waitUntilExit()
      #expect(whole.terminationStatus == 0)

      let out = "\(folder)/killed"
      let start = VAE(key: 0)
      func step() throws -> Int? {
        let path = "\(out)/checkpoint.safetensors"
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        return try Checkpoint(contentsOf: path, for: start, by: Adam(for: start)).step
      }
      for goal in [10, 37, 80] {
        let killed = try process(steps + ["--out", out, "--resume"])
        try killed.run()
        while killed.isRunning, (try step() ?? 0) < goal { usleep(500) }
        kill(killed.processIdentifier, SIGKILL)
        killed.waitUntilExit()
        let reached = try step() ?? 0
        #expect(reached >= goal)
      }
      let last = try process(steps + ["--out", out, "--resume"])
      try last.run()
      last.waitUntilExit()
      #expect(last.terminationStatus == 0)
      let files = try ["whole", "killed"].map { name in
        try ["parameters.npz", "reconstructions_after.npy"].map {
          try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)/\($0)"))
        }
      }
      #expect(files[0] == files[1])
    }
  }

  @Test func interruptedProcesses() throws {
    try withTemporaryFolder { folder in
      func run(_ signals: [Int32]) throws -> (reason: Process.TerminationReason, status: Int32) {
        let process = try process(["--steps", "100000000", "--out", folder, "--checkpoint-every", "50"])
        try process.run()
        let path = "\(folder)/checkpoint.safetensors"
        while process.isRunning, !FileManager.default.fileExists(atPath: path) { usleep(500) }
        for signal in signals { kill(process.processIdentifier, signal) }
        process.waitUntilExit()
        try FileManager.default.removeItem(atPath: path)
        return (process.terminationReason, process.terminationStatus)
      }
      let interrupted = try run([SIGINT])
      #expect(interrupted == (.exit, 128 + SIGINT))
      let terminated = try run([SIGTERM])
      #expect(terminated == (.exit, 128 + SIGTERM))
    }
  }

  // MARK: Files

  @Test func optimisersStandAlone() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/adam.safetensors"
      let adam = try trained(Adam(for: Self.start), until: 9).optimizer
      try adam.write(safetensors: path)
      let again = try Adam(for: Self.start, learningRate: 0.5).reading(safetensors: path)
      #expect(TrainTests.bits(again) == TrainTests.bits(adam))
      #expect("\(again.counts)" == "\(adam.counts)" && again.skippedCount > 0)
      #expect(again.learningRate(Tensor(0)).scalar == 0.5, "settings are not part of the state")
      #expect(
        complaint(about: path) { _ = try SGD<Tree>(learningRate: 1).reading(safetensors: path) }
          .hasPrefix("has an array firstMoments"))
      try Self.start.write(safetensors: path)
      #expect(
        complaint(about: path) { _ = try adam.reading(safetensors: path) }
          == "has no optimiser's counts of steps")
    }
  }

  @Test func checkpointsOfOtherTrainings() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.safetensors"
      _ = try trained(Adam(for: Self.start), until: 4, path)
      func reason(
        steps: Int = 5, seed: Int = 3, size: Int = 5, last: Batches<Tensor>.LastBatch = .short,
        firstStep: Int = 1,
        _ start: OptaxTests.Tree = CheckpointTests.start
      ) -> String {
        var options = TrainingOptions()
        options.checkpoint = path
        options.resumes = true
        options.firstStep = firstStep
        return complaint(about: path) {
          try train(
            start, by: Adam(for: start), on: Batches(of: Self.data, size: size, last: last), steps: steps,
            seed: seed,
            options: options, loss: TrainTests.loss)
        }
      }
      let other = "is the checkpoint of another training: "
      #expect(reason(seed: 4) == other + "it has another seed")
      #expect(
        reason(size: 6) == other
          + "it goes on with batch 4 of 5 shuffled rows of 12, a short one is kept; this one with batch 4 of 6 "
          + "shuffled rows of 12, a short one is kept")
      #expect(reason(last: .dropped).hasSuffix("of 12, a short one is dropped"))
      #expect(reason(steps: 3) == "is a checkpoint after step 4, the last step is 3")
      #expect(reason(firstStep: 9) == other + "its last step, 4, comes before the first one")
      #expect(
        reason(["scale": 1]) == "the array optimizer.firstMoments.0 has the shape [2], [] is expected")
      #expect(reason(Self.start.merging(["more": 1]) { $1 }) == "has no array parameters.more")
      #expect(reason() == "nothing was thrown")

      try Self.start.write(safetensors: path)
      #expect(reason() == "is not a checkpoint: it has no text training")
      for (text, problem) in [
        ("{}", "is not a checkpoint: its text training is malformed"),
        ("", "is not a checkpoint: its text training is malformed"),
      ] {
        try Self.start.write(safetensors: path, metadata: ["training": text])
        #expect(reason() == problem)
      }
    }
  }

  /// The settings that a training names are those of its checkpoint, before its arrays are looked at.
  @Test func settingsAreComparedOnResumption() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.safetensors"
      func reason(_ settings: [String: String], steps: Int = 3, _ start: Tensor = 0) -> String {
        var options = TrainingOptions()
        (options.checkpoint, options.resumes, options.settings) = (path, true, settings)
        return complaint(about: path) {
          let result = try train(
            start, by: SGD(learningRate: 1), steps: steps, seed: 0, options: options
          ) { x, _ in x.sum() }
          #expect(result.resumedStep == (steps == 2 ? nil : 2))
        }
      }
      let settings = ["rate": "0.1", "data": "a.csv"]
      #expect(reason(settings, steps: 2) == "nothing was thrown")
      let checkpoint = try Checkpoint(contentsOf: path, for: Tensor(0), by: SGD<Tensor>(learningRate: 1))
      #expect(checkpoint.settings == settings)
      func refusal(_ name: String, _ before: String, _ now: String) -> String {
        "is the checkpoint of another training: its setting \"\(name)\" is \(before), this one's is \(now); "
          + "go on with the checkpoint's, or begin anew without resuming"
      }
      for start in [0, [1, 2]] as [Tensor] {
        #expect(reason(["rate": "0.2", "data": "b.csv"], start) == refusal("data", "\"a.csv\"", "\"b.csv\""))
      }
      #expect(reason(["rate": "0.2", "data": "a.csv"]) == refusal("rate", "\"0.1\"", "\"0.2\""))
      #expect(reason(["data": "a.csv"]) == refusal("rate", "\"0.1\"", "not set"))
      #expect(reason(settings.merging(["width": "3"]) { $1 }) == refusal("width", "not set", "\"3\""))
      #expect(reason([:]) == refusal("data", "\"a.csv\"", "not set"))
      #expect(reason(settings) == "nothing was thrown")
    }
  }

  /// A file's counts may be any numbers; none of them makes counting overflow.
  @Test func hostileNumbers() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.safetensors"
      let rule = SGD<Tree>(learningRate: 1)
      _ = try trained(rule, until: 4, path)
      let file = try SafetensorsFile(contentsOf: path)
      let text = try #require(file.metadata["training"])
      for (name, value) in [
        ("format", "2"), ("step", "-1"), ("step", "9223372036854775807"), ("seconds", "-1"),
        ("seconds", "1e300"), ("count", "-1"), ("taken", "9223372036854775807"), ("skippedInARow", "-1"),
        ("valuesSinceBest", "9223372036854775807"),
      ] {
        let changed = text.replacing(try Regex("\"\(name)\":[-0-9.e]+"), with: "\"\(name)\":\(value)")
        #expect(changed != text, "\(name)")
        try SafetensorsFile(file.arrays, metadata: ["training": changed]).write(to: path)
        #expect(
          complaint(about: path) { _ = try Checkpoint(contentsOf: path, for: Self.start, by: rule) }
            == "is not a checkpoint of this version", "\(name)")
      }
    }
  }

  @Test func damagedFiles() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.safetensors"
      let (start, rule) = (Tensor([1, 2]), SGD<Tensor>(learningRate: 1))
      var options = TrainingOptions()
      options.checkpoint = path
      try train(start, by: rule, steps: 2, seed: 0, options: options) { x, _ in x.sum() }
      let bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))
      try expectNoTrap(whenDamaged: bytes, "a.safetensors") {
        _ = try Checkpoint(contentsOf: $0, for: start, by: rule)
      }
    }
  }
}
