import ArgumentParser
import Coix
import ExampleModels

/// Trains population Gibbs samplers for bouncing digits.
public struct BMNISTCommand: ParsableCommand {
  public static let configuration = CommandConfiguration(
    commandName: "bmnist",
    abstract: "Train amortized Gibbs proposals for bouncing digits.",
    discussion: """
      Sequences of frames in which two digits bounce. Networks propose where the digits are, frame by frame, and what they look \
      like, in turn (Wu et al., "Amortized population Gibbs samplers", 2020). Test sequences are inferred before and after \
      training: the log joint density should be higher after training, and rise from sweep to sweep.

      The digits come from a .npy array [n, size, size], as scripts/digits writes it from scikit-learn's digits or from files of \
      MNIST. --full has the settings of coix's example, which are meant for digits of 28 pixels. The same seed gives the same \
      numbers on any number of threads.

      An example: scripts/digits digits.npy && examples bmnist --data digits.npy --out out/bmnist && scripts/plot bmnist out/bmnist
      """)

  // Numbers are taken unconditionally: a negative one is a value, not the name of another flag.
  @Option(help: ArgumentHelp("A file with digits.", valueName: "file.npy"), completion: .file())
  var data: String
  @Flag(help: "The settings of coix's example, but for options that are given.")
  var full = false
  @Option(parsing: .unconditional, help: "Steps of training.")
  var steps: Int?
  @Option(parsing: .unconditional, help: "Sequences in a batch.")
  var batch: Int?
  @Option(parsing: .unconditional, help: "Particles of a sequence.")
  var particles: Int?
  @Option(parsing: .unconditional, help: "Sweeps after the first proposals.")
  var sweeps: Int?
  @Option(parsing: .unconditional, help: "Frames of a sequence to train on.")
  var frames: Int?
  @Option(parsing: .unconditional, help: "Frames of a sequence to test with.")
  var testFrames: Int?
  @Option(parsing: .unconditional, help: "Height and width of a frame. (default: 16/7 of a digit's)")
  var frameSize: Int?
  @Option(parsing: .unconditional, help: "Adam's step size.")
  var learningRate: Float?
  @Option(parsing: .unconditional, help: "Sequences to train on.")
  var train: Int?
  @Option(parsing: .unconditional, help: "Sequences to test with.")
  var test: Int?

  @OptionGroup(title: "Training and results")
  var training: TrainingArguments

  public init() {}

  private var experiment: BMNISTExperiment {
    var result = full ? BMNISTExperiment.published : BMNISTExperiment()
    if let steps { result.steps = steps }
    if let batch { result.batch = batch }
    if let particles { result.particles = particles }
    if let sweeps { result.sweeps = sweeps }
    if let frames { result.frames = frames }
    if let testFrames { result.testFrames = testFrames }
    if let frameSize { result.frameSize = frameSize }
    if let learningRate { result.learningRate = learningRate }
    if let train { result.trainCount = train }
    if let test { result.testCount = test }
    result.seed = training.seed
    return result
  }

  public func validate() throws {
    do {
      try experiment.validate()
    } catch let error as CoixError {
      throw ValidationError(error.description)
    }
  }

  public func run() throws {
    let console = try training.console
    let options = try training.options(writing: BMNISTResults.fileNames, reading: data)
    let digits = try BouncingDigits(contentsOf: data)
    let results = try experiment.run(on: digits, options: options)
    if results.skippedCount > 0 {
      console.say(
        "Skipped \(results.skippedCount) of \(experiment.steps) updates: their gradients were not finite")
    }
    for (time, inference) in [("before", results.before), ("after", results.after)] {
      let densities = inference.logDensity.map { format($0, "%.1f") }.joined(separator: "  ")
      console.say("Test sequences \(time) training, log joint density after 0, 1, … sweeps: \(densities)")
    }
    if let seconds = results.secondsPerStep {
      console.say("A step took \(format(Float(1000 * seconds), "%.1f")) ms")
    }
    try training.write(BMNISTResults.fileNames) { try results.write(to: $0) }
    try training.close(resumedStep: results.resumedStep) { results.digest }
  }
}
