import CoixParallel

/// How a training is run: see ``train(_:by:on:steps:seed:options:evaluate:onStep:loss:)``.
///
/// ```swift
/// var options = TrainingOptions()
/// options.checkpoint = "vae.safetensors"
/// options.resumes = true
/// options.reports = .standardError
/// ```
public struct TrainingOptions: Sendable {
  /// The number of the first step. `coix.util.train` counts from 1; a number may be from 0 on.
  public var firstStep = 1
  /// Every how many steps there is a report, and the last one has one; nil for twenty reports, whose places depend on the
  /// number of steps.
  public var reportEvery: Int?
  /// Where reports go.
  public var reports = TrainingReports.none
  /// A file of metrics, one JSON object of ``TrainingStep`` in a line, for each report and each evaluation; nil for none.
  ///
  /// A training that is resumed goes on behind the lines of the steps that it doesn't repeat, and refuses a file that has other
  /// lines; others replace the file.
  public var metrics: String?
  /// Every how many steps the parameters are evaluated, and the last ones are; nil for as often as there is a report.
  public var evaluateEvery: Int?
  /// When the training stops because it gets no better; nil for never.
  public var earlyStopping: EarlyStopping?
  /// The safetensors file for checkpoints: see ``Checkpoint``; nil for none.
  public var checkpoint: String?
  /// Every how many steps a checkpoint is written, and the last one is; nil for the last one only.
  public var checkpointEvery: Int?
  /// Whether the training goes on from the checkpoint, if that file is there.
  public var resumes = false
  /// What the training's course depends on, besides the seed and the batches, by name: a learning rate, a network's width,
  /// the name of a file. A checkpoint keeps these texts, and a training that is resumed must have the same ones.
  ///
  /// ```swift
  /// options.settings = ["learning rate": "\(learningRate)", "data": path]
  /// ```
  public var settings: [String: String] = [:]
  /// Whether SIGINT (Ctrl-C) and SIGTERM end the training after the step that runs. A second one ends the process.
  public var stopsOnSignals = false
  /// After how many steps in a row that were skipped the training ends with an error: from 1 to 100.
  public var mostSkipped = 100
  /// The threads for tensor operations outside of evaluations, and the ranks that train together.
  public var workers = Workers.standard
  /// Every so many steps the functions themselves run, too, and the bits are compared with those of the recorded step;
  /// nil for never.
  public var checkedEvery: Int?

  /// The options as they are listed.
  public init() {}

  /// - Throws: `CoixError.argument(_:)` for an option outside of its domain.
  func validate(steps: Int) throws {
    func require(_ isMet: Bool, _ requirement: String, _ value: Int) throws {
      if !isMet { throw CoixError.argument("train: \(requirement), is \(value)") }
    }
    try require(
      (1...Int(Int32.max)).contains(steps), "the number of steps must be from 1 to 2^31 - 1", steps)
    try require(
      (0...Int(Int32.max)).contains(firstStep), "the first step's number must be from 0 to 2^31 - 1",
      firstStep)
    for (name, every) in [
      ("reportEvery", reportEvery), ("evaluateEvery", evaluateEvery), ("checkpointEvery", checkpointEvery),
      ("checkedEvery", checkedEvery),
    ] {
      if let every { try require(every >= 1, "\(name) must be at least 1", every) }
    }
    try require((1...100).contains(mostSkipped), "mostSkipped must be from 1 to 100", mostSkipped)
    guard metrics == nil || metrics != checkpoint else {
      throw CoixError.argument("train: metrics and checkpoint are the same file, \(metrics ?? "")")
    }
    guard checkpoint != nil || checkpointEvery == nil && !resumes else {
      throw CoixError.argument("train: checkpointEvery and resumes need the path of a checkpoint")
    }
    try earlyStopping?.validate()
  }
}

/// Where a training's reports go.
public enum TrainingReports: Sendable {
  /// Nowhere.
  case none
  /// To standard error. On a terminal a line shows how far the training has come, the loss's course, and the time left;
  /// it is left out if the output is no terminal.
  case standardError
  /// To a function that gets a line, without its end: `.lines { logger.info("\($0)") }`, for example.
  case lines(@Sendable (String) -> Void)
}
