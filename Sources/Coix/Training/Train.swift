import CoixParallel
import Foundation

/// Trains parameters: takes steps of an optimiser along a loss's gradients, on one batch of the data after another.
///
/// ```swift
/// let start = VAE(key: 1)
/// let batches = try Batches(of: points, size: 300)
/// let trained = try train(start, by: Adam(for: start, learningRate: 1e-2), on: batches, steps: 1_000, seed: 0) {
///   vae, batch, key in try vae.loss(batch, key: key)
/// }
/// ```
///
/// Where several ranks train, all of them call this with the same arguments, and with workers that carry the ranks both here and in
/// the loss's evaluations. The first rank writes the files and reports; a checkpoint may be resumed by any number of ranks.
///
/// Step i gets the key `key.folded(in: i)`, counted from 1, as in `coix.util.train`. The first step is recorded, and replayed
/// afterwards: see ``CompiledTraining``. A step whose loss or gradient is not finite leaves the parameters as they are.
///
/// - Parameters:
///   - parameters: where the training starts.
///   - optimizer: the rule that takes the steps.
///   - batches: the data. The first step takes batch 0.
///   - steps: the number of steps.
///   - seed: what the keys of the steps and the order of the data come from.
///   - options: reports, checkpoints, when to stop, and the rest.
///   - evaluate: a number that says how good parameters are, the less the better, such as the loss of test data. It is called
///     before the first step and as often as the options say; nil is not reported.
///   - onStep: is called after each step.
///   - loss: the loss of parameters, for a batch and a step's key.
/// - Returns: the parameters and the optimiser after the last step, and how the training has ended.
/// - Throws: what the functions throw; `CoixError.argument(_:)` for an option outside of its domain;
///   `CoixError.gradient(_:)` after too many skipped steps in a row, with the site whose numbers are not finite;
///   `CoixError.file(path:reason:)` for files that cannot be read or written, and for a checkpoint of another training;
///   `CoixError.memory(what:bytes:)`; `CancellationError`, after a checkpoint.
@discardableResult
public func train<Rule: Optimizer, Batch: TensorTree>(
  _ parameters: Rule.Parameters, by optimizer: Rule, on batches: Batches<Batch>, steps: Int,
  seed: some RandomSeed, options: TrainingOptions = TrainingOptions(),
  evaluate: ((Rule.Parameters) throws -> Float?)? = nil, onStep: ((TrainingStep) throws -> Void)? = nil,
  loss: @escaping (Rule.Parameters, Batch, PRNGKey) throws -> Tensor
) throws -> TrainingResult<Rule> {
  let key = seed.prngKey
  let reader = batches.reader(seed: key.folded(in: TrainingRun<Rule, Batch>.shuffleNumber))
  let run = TrainingRun<Rule, Batch>(
    key: key, steps: steps, options: options, evaluate: evaluate, onStep: onStep, loss: loss,
    batch: reader.batch, epoch: reader.epoch, position: { BatchPosition(batches, next: $0) })
  return try run.train(parameters, by: optimizer)
}

/// Trains parameters by a loss that takes no data from step to step.
///
/// ```swift
/// let trained = try train(start, by: Adam(for: start), steps: 20_000, seed: 0) { sampler, key in
///   try evaluate(sampler.inference(particles), seed: key)().metrics.loss
/// }
/// ```
///
/// All else is as for ``train(_:by:on:steps:seed:options:evaluate:onStep:loss:)``.
@discardableResult
public func train<Rule: Optimizer>(
  _ parameters: Rule.Parameters, by optimizer: Rule, steps: Int, seed: some RandomSeed,
  options: TrainingOptions = TrainingOptions(), evaluate: ((Rule.Parameters) throws -> Float?)? = nil,
  onStep: ((TrainingStep) throws -> Void)? = nil,
  loss: @escaping (Rule.Parameters, PRNGKey) throws -> Tensor
) throws -> TrainingResult<Rule> {
  let run = TrainingRun<Rule, Tuple<>>(
    key: seed.prngKey, steps: steps, options: options, evaluate: evaluate, onStep: onStep,
    loss: { parameters, _, key in try loss(parameters, key) },
    batch: { _ in Tuple() }, epoch: { _ in nil }, position: { _ in nil })
  return try run.train(parameters, by: optimizer)
}

/// What a training has come to.
public struct TrainingResult<Rule: Optimizer>: Sendable {
  /// How a training has ended.
  public enum End: Hashable, Sendable {
    /// All steps were taken or skipped.
    case completed
    /// It got no better: see ``EarlyStopping``.
    case stoppedEarly
    /// A signal, SIGINT or SIGTERM, has ended it.
    case interrupted(signal: Int32)
  }

  /// The parameters after the last step.
  public let parameters: Rule.Parameters
  /// The optimiser after the last step.
  public let optimizer: Rule
  /// The number of the last step.
  public let step: Int
  /// How the training has ended.
  public let end: End
  /// The step after which this run went on from a checkpoint; nil if it took all steps.
  public let resumedStep: Int?
  /// The mean time of a step in seconds, without the first one of this run, which is recorded; nil if there was no other.
  public let secondsPerStep: Double?
}

/// One call of `train`.
private struct TrainingRun<Rule: Optimizer, Batch: TensorTree> {
  let key: PRNGKey
  let steps: Int
  let options: TrainingOptions
  let evaluate: ((Rule.Parameters) throws -> Float?)?
  let onStep: ((TrainingStep) throws -> Void)?
  let loss: (Rule.Parameters, Batch, PRNGKey) throws -> Tensor
  /// A batch, by its number.
  let batch: (Int) throws -> Batch
  let epoch: (_ batch: Int) -> Int?
  /// Where in the data a training is whose next batch has a number.
  let position: (Int) -> BatchPosition?

  private var ranks: Ranks { options.workers.ranks }

  /// What the key is folded with for the order of the data: no step has this number.
  static var shuffleNumber: Int { Int(UInt32.max) }

  func train(_ parameters: Rule.Parameters, by optimizer: Rule) throws -> TrainingResult<Rule> {
    try options.validate(steps: steps)
    let numbers = options.firstStep...options.firstStep + steps - 1
    let start = try checkpoint(for: parameters, by: optimizer)
    // A checkpoint's step is at least 0.
    try ranks.requireSame(
      start.map { UInt64($0.step) + 1 } ?? 0, advice: "all ranks must read the same checkpoint"
    ) { $0 == 0 ? "begins anew" : "goes on after step \($0 - 1)" }
    guard try ranks.haveSame((start?.parameters ?? parameters).flattened) else {
      throw CoixError.ranks("the parameters that the training starts from differ between ranks")
    }
    var metrics: MetricsFile?
    try ranks.onFirst {
      if let path = options.checkpoint { try WholeFile.checkWritable(path) }
      metrics = try options.metrics.map { try MetricsFile($0, after: start?.step) }
    }
    let signals = options.stopsOnSignals ? StopSignals() : nil
    defer { signals?.stop() }
    let training = CompiledTraining(
      start?.parameters ?? parameters, by: start?.optimizer ?? optimizer, workers: options.workers,
      checkedEvery: options.checkedEvery, loss: loss)
    var (last, end) = (start?.step ?? numbers.lowerBound - 1, TrainingResult<Rule>.End.completed)
    var progress = Progress(
      seconds: start?.seconds ?? 0, stopping: start?.stopping ?? EarlyStopping.Progress(),
      losses: start?.losses ?? LossMean(),
      reporter: TrainingReporter(
        ranks.isFirst ? options.reports : .none, after: last, until: numbers.upperBound))
    defer { progress.reporter.clear() }
    // A training that has stopped early stays so.
    if progress.stopping.isOver(by: options.earlyStopping) { end = .stoppedEarly }
    if start != nil {
      progress.reporter.say("resumed after step \(last) from \(options.checkpoint ?? "")")
    } else if let value = try evaluate?(parameters) {
      progress.reporter.say("before the first step: evaluation \(value.withoutSignOfNaN)")
    }

    func save() throws {
      guard let path = options.checkpoint else { return }
      try ranks.onFirst {
        try Checkpoint(
          parameters: training.parameters, optimizer: training.optimizer, step: last, key: key,
          seconds: progress.seconds, settings: options.settings, stopping: progress.stopping,
          losses: progress.losses, batches: position(last + 1 - numbers.lowerBound)
        ).write(to: path)
      }
    }

    while last < numbers.upperBound, end == .completed {
      guard try ranks.greatest(Task.isCancelled ? 1 : 0) == 0 else {
        try save()
        throw CancellationError()
      }
      last += 1
      let isLast = last == numbers.upperBound
      var step = try take(last, training, &progress)
      let reportEvery = options.reportEvery ?? max(steps / 20, 1)
      let isReport = last.isMultiple(of: reportEvery)
      let isEvaluation = evaluate != nil && last.isMultiple(of: options.evaluateEvery ?? reportEvery)
      if isEvaluation || isLast { step.evaluation = try evaluate?(try training.parameters) }
      if isReport || isEvaluation || isLast {
        progress.reporter.report(step, secondsPerStep: progress.secondsPerStep)
        if options.metrics != nil { try ranks.onFirst { try metrics?.add(step) } }
      }
      if let rule = options.earlyStopping, evaluate == nil ? isReport : isEvaluation {
        progress.stopping.note(step.evaluation ?? step.meanLoss, by: rule)
        if progress.stopping.isOver(by: rule), !isLast { end = .stoppedEarly }
      }
      if isReport { progress.losses = LossMean() }
      try onStep?(step)
      progress.reporter.show(step, secondsPerStep: progress.secondsPerStep)
      let signal = try signals.flatMap { try ranks.signal($0.received) }
      if let signal, !isLast { end = .interrupted(signal: signal) }
      if isLast || end != .completed || options.checkpointEvery.map(last.isMultiple) ?? false { try save() }
    }
    say(end, after: last, progress.reporter)
    return TrainingResult(
      parameters: try training.parameters, optimizer: try training.optimizer, step: last, end: end,
      resumedStep: start?.step, secondsPerStep: progress.secondsPerStep)
  }

  /// What a training keeps in mind besides its parameters.
  private struct Progress {
    var stopping: EarlyStopping.Progress
    var losses: LossMean
    var reporter: TrainingReporter
    /// The seconds before this run.
    private let secondsBefore: Double
    private let start = ContinuousClock.now
    /// The time of the steps that were not recorded, and their number.
    private var (timed, timedCount): (Double, Int) = (0, -1)

    init(
      seconds: Double, stopping: EarlyStopping.Progress, losses: LossMean, reporter: TrainingReporter
    ) {
      (secondsBefore, self.stopping, self.losses, self.reporter) = (seconds, stopping, losses, reporter)
    }

    var seconds: Double { secondsBefore + (ContinuousClock.now - start) / .seconds(1) }
    var secondsPerStep: Double? { timedCount > 0 ? timed / Double(timedCount) : nil }

    mutating func note(_ loss: Float, seconds: Double) {
      // The first step of a run is recorded.
      if timedCount >= 0 { timed += seconds }
      timedCount += 1
      losses.note(loss)
    }
  }

  /// The checkpoint to resume from; nil if there is none.
  private func checkpoint(for parameters: Rule.Parameters, by optimizer: Rule) throws -> Checkpoint<Rule>? {
    guard options.resumes, let path = options.checkpoint, FileManager.default.fileExists(atPath: path) else {
      return nil
    }
    let checkpoint = try Checkpoint(
      contentsOf: path, for: parameters, by: optimizer, resumedWith: options.settings)
    func refuse(_ reason: String) -> CoixError {
      .file(path: path, reason: "is the checkpoint of another training: \(reason)")
    }
    guard checkpoint.key == key else { throw refuse("it has another seed") }
    guard checkpoint.step >= options.firstStep - 1 else {
      throw refuse("its last step, \(checkpoint.step), comes before the first one")
    }
    let lastStep = options.firstStep + steps - 1
    guard checkpoint.step <= lastStep else {
      throw CoixError.file(
        path: path, reason: "is a checkpoint after step \(checkpoint.step), the last step is \(lastStep)")
    }
    let expected = position(checkpoint.step + 1 - options.firstStep)
    guard checkpoint.batches == expected else {
      let texts = [checkpoint.batches, expected].map { $0?.description ?? "no batches" }
      throw refuse("it goes on with \(texts[0]); this one with \(texts[1])")
    }
    return checkpoint
  }

  /// Takes one step.
  private func take(
    _ number: Int, _ training: CompiledTraining<Rule, Batch>, _ progress: inout Progress
  ) throws -> TrainingStep {
    let start = ContinuousClock.now
    let index = number - options.firstStep
    let batch = try batch(index)
    let before = training.counts.skipped
    func broken(_ error: CoixError?) -> CoixError {
      .gradient(stopped(after: number, training, batch) ?? error?.description ?? "")
    }
    let loss: Float
    do {
      loss = try training.step(batch, key: key.folded(in: number))
    } catch let error as CoixError {
      guard training.counts.skippedInARow >= options.mostSkipped else { throw error }
      throw broken(error)
    }
    progress.note(loss, seconds: (ContinuousClock.now - start) / .seconds(1))
    let counts = training.counts
    if counts.skipped > before, let reason = counts.lastSkipped {
      if counts.skippedInARow >= options.mostSkipped { throw broken(nil) }
      if counts.skippedInARow == 1 { progress.reporter.say("step \(number): skipped, since \(reason)") }
    }
    return TrainingStep(
      step: number, loss: loss, meanLoss: progress.losses.value, epoch: epoch(index), skipped: counts.skipped,
      seconds: progress.seconds)
  }

  /// Why the training stops after too many skipped steps.
  private func stopped(after number: Int, _ training: CompiledTraining<Rule, Batch>, _ batch: Batch)
    -> String?
  {
    let counts = training.counts
    guard let reason = counts.lastSkipped else { return nil }
    var text =
      "the training has stopped at step \(number), since \(counts.skippedInARow) steps in a row were skipped, the "
      + "last one because \(reason)"
    do {
      try ForcedChecks.$areOn.withValue(true) {
        _ = try valueWithGradient(at: training.parameters, workers: options.workers) {
          try loss($0, batch, key.folded(in: number))
        }
      }
    } catch {
      text += "; \(error)"
    }
    return text
  }

  private func say(_ end: TrainingResult<Rule>.End, after step: Int, _ reporter: TrainingReporter) {
    switch end {
    case .completed: break
    case .stoppedEarly: reporter.say("stopped after step \(step): it got no better")
    case .interrupted(let signal):
      let name = signal == SIGINT ? "SIGINT" : "SIGTERM"
      reporter.say(
        "interrupted by \(name) after step \(step)"
          + (options.checkpoint.map { "; to go on, resume from \($0)" } ?? "; there is no checkpoint"))
    }
  }
}
