import Coix

/// Bouncing digits: test sequences are inferred, the networks are trained on other sequences, and the test sequences
/// are inferred again.
public struct BMNISTExperiment: Sendable {
  /// Steps of training.
  public var steps = 2_000
  /// Sequences in a step's batch.
  public var batch = 8
  /// Particles of a sequence.
  public var particles = 4
  /// Sweeps after the first proposals.
  public var sweeps = 2
  /// Frames of a sequence to train on.
  public var frames = 4
  /// Frames of a sequence to test with.
  public var testFrames = 10
  /// The height and the width of a frame; nil for 16/7 of a digit's, as in moving MNIST.
  public var frameSize: Int?
  /// The widths of the networks' hidden layers.
  public var hidden = (200, 100)
  /// Adam's step size.
  public var learningRate: Float = 3e-3
  /// Sequences to train on.
  public var trainCount = 4_000
  /// Sequences to test with.
  public var testCount = 5
  /// What data, parameters, batches and variables are drawn from.
  public var seed = 0

  /// Settings for a short run.
  public init() {}

  /// The settings of coix's example; Moving MNIST has 10,000 sequences.
  public static var published: BMNISTExperiment {
    var result = BMNISTExperiment()
    (result.steps, result.batch, result.particles, result.sweeps) = (20_000, 5, 10, 5)
    (result.frames, result.testFrames, result.learningRate) = (10, 20, 1e-4)
    (result.trainCount, result.hidden) = (10_000, (400, 200))
    return result
  }

  /// Looks through the settings.
  ///
  /// - Throws: `CoixError.argument(_:)` for one outside of its domain.
  public func validate() throws {
    func require(_ value: Int, atLeast least: Int = 1, _ name: String) throws {
      guard value >= least else {
        throw CoixError.argument("the \(name) must be at least \(least), is \(value)")
      }
      guard value <= Int32.max else {
        throw CoixError.argument("the \(name) must be at most \(Int32.max), is \(value)")
      }
    }
    try require(steps, "number of steps")
    try require(batch, "batch size")
    try require(particles, "number of particles")
    try require(sweeps, atLeast: 0, "number of sweeps")
    try require(frames, "number of frames")
    try require(testFrames, "number of test frames")
    try require(frameSize ?? 1, "frames' size")
    try require(trainCount, "number of training sequences")
    try require(testCount, "number of test sequences")
    guard learningRate > 0, learningRate.isFinite else {
      throw CoixError.argument("the learning rate must be positive and finite, is \(learningRate)")
    }
  }

  /// Runs the experiment.
  ///
  /// - Throws: as ``validate()``; what evaluations throw; ``Interrupted``.
  public func run(on digits: BouncingDigits, options: TrainingOptions = TrainingOptions()) throws
    -> BMNISTResults
  {
    try validate()
    let workers = options.workers
    let size = frameSize ?? digits.size * 16 / 7
    let keys = PRNGKey(seed: seed).split(into: 5)
    let train = try digits.sequences(trainCount, frameCount: frames, frameSize: size, key: keys[0])
    let test = try digits.sequences(testCount, frameCount: testFrames, frameSize: size, key: keys[1])
    func infer(_ model: BMNIST) throws -> BMNISTInference {
      try BMNISTInference(
        of: test, by: model, particles: particles, sweeps: sweeps, key: keys[2], workers: workers)
    }
    let initial = BMNIST(meanDigit: digits.mean, frameSize: size, hidden: hidden, key: keys[3])
    let before = try infer(initial)
    var options = options
    options.settings.merge([
      "batch": "\(batch)", "particles": "\(particles)", "sweeps": "\(sweeps)", "frames": "\(frames)",
      "frame-size": "\(size)", "hidden": "\(hidden.0), \(hidden.1)", "learning-rate": "\(learningRate)",
      "train": "\(trainCount)", "data": "\(digits)",
    ]) { $1 }
    var losses: [Float] = []
    let training = try Coix.train(
      initial, by: Adam(for: initial, learningRate: .constant(learningRate)),
      on: try Batches(of: train, size: batch, last: .dropped), steps: steps, seed: keys[4], options: options,
      onStep: { losses.append($0.loss) },
      loss: { model, batch, key in
        try model.loss(batch, particleCount: particles, sweeps: sweeps, key: key, workers: workers)
      }
    ).uninterrupted()
    return BMNISTResults(
      experiment: self, test: test, losses: losses, model: training.parameters,
      skippedCount: training.optimizer.skippedCount, secondsPerStep: training.secondsPerStep,
      resumedStep: training.resumedStep, before: before,
      after: try infer(training.parameters))
  }
}

/// Test sequences, inferred.
public struct BMNISTInference: Sendable {
  /// The log joint density of codes, positions and frames after 0, 1, 2, … sweeps: the mean over particles and
  /// sequences.
  public let logDensity: [Float]
  /// One particle's positions after all sweeps, drawn by its weight, for each sequence: `[sequence, digit, frame,
  /// 2]`, from -1 to 1, the horizontal one first.
  public let positions: Tensor
  /// What the digits of that particle look like there, `[sequence, frame, height, width]`.
  public let reconstructions: Tensor

  /// - Throws: what the evaluations throw.
  init(of test: Tensor, by model: BMNIST, particles: Int, sweeps: Int, key: PRNGKey, workers: Workers) throws
  {
    // Each sweep has its own key, so that a run of fewer sweeps is the beginning of a longer one.
    let options = EvaluationOptions(workers: workers, keep: .metrics)
    logDensity = try (0...sweeps).map { sweeps in
      let result = try model.infer(
        test, particleCount: particles, sweeps: sweeps, key: key, options: options)
      return try result.metrics.logDensity.scalar / Float(test.shape[0])
    }
    let instances = Plate("instance", count: test.shape[0])
    let program = try model.inference(
      frameCount: test.shape[1], particles: Plate("particle", count: particles), instances: instances,
      sweeps: sweeps)
    let scene = try evaluate(
      resample(program, count: .one), seed: key, options: EvaluationOptions(workers: workers, keep: .output))(
        instances.mapped(test)
      ).output
    let paths = Tensor.stack(scene.positions, axis: 2)
    positions = paths
    reconstructions = try Tensor.stack(
      (0..<test.shape[0]).map { model.rendered(scene.digits[$0], at: paths[$0]) }
    ).validated()
  }
}
