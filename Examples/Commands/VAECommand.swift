import ArgumentParser
import Coix
import ExampleModels

/// Trains the tutorial's variational autoencoder.
public struct VAECommand: ParsableCommand {
  public static let configuration = CommandConfiguration(
    commandName: "vae",
    abstract: "Train a variational autoencoder on points in the plane.",
    discussion: """
      Makes two-moons data, trains with Adam, and compares reconstructions of test points before and after. Log Z should \
      rise; the effective sample size says little here, since each test point is a particle with a weight of its own. With \
      --data the points come from a file: a .npy array [n, 2] or a text with two columns. They are shuffled by the seed; a \
      fifth (or --test) are test points, the others (or --train of them) are trained on.

      The same seed gives the same numbers on any number of threads.

      An example: examples vae --steps 1000 --out out/vae --checkpoint-every 100
      """)

  // Numbers are taken unconditionally: a negative one is a value, not the name of another flag.
  @Option(parsing: .unconditional, help: "Steps of training.")
  var steps = 100
  @Option(parsing: .unconditional, help: "Points in a batch.")
  var batch = 300
  @Option(parsing: .unconditional, help: "Adam's step size.")
  var learningRate: Float = 1e-2
  @Option(parsing: .unconditional, help: "Width of the networks' hidden layer.")
  var hidden = 32
  @Option(
    help: ArgumentHelp("A file with points of your own.", valueName: "file.csv|.npy"), completion: .file())
  var data: String?
  @Option(
    parsing: .unconditional,
    help: "Points to train on. (default: 10000, or all of a file that are not test points)")
  var train: Int?
  @Option(parsing: .unconditional, help: "Points to test with. (default: 3000, or a fifth of a file)")
  var test: Int?
  @Option(parsing: .unconditional, help: "Standard deviation of the two moons' noise. (default: 0.1)")
  var noise: Float?

  @OptionGroup(title: "Training and results")
  var training: TrainingArguments

  public init() {}

  private var experiment: VAEExperiment {
    var result = VAEExperiment()
    result.steps = steps
    result.batch = batch
    result.learningRate = learningRate
    result.hidden = hidden
    result.seed = training.seed
    return result
  }

  public func validate() throws {
    do {
      try experiment.validate()
    } catch let error as CoixError {
      throw ValidationError(error.description)
    }
    if data != nil, noise != nil {
      throw ValidationError("--noise is for two moons; the points of --data are taken as they are")
    }
  }

  public func run() throws {
    let console = try training.console
    let seed = training.seed
    let options = try training.options(writing: VAEResults.fileNames, reading: data)
    let points =
      if let data {
        try PointData.file(data, train: train, test: test, seed: seed)
      } else {
        try PointData.twoMoons(train: train ?? 10_000, test: test ?? 3_000, noise: noise ?? 0.1, seed: seed)
      }
    if training.digest {
      // What does not fit into memory is refused before training.
      _ = try experiment.initial.lossAndGradientOfDigest(seed: seed, workers: options.workers)
    }
    let results = try experiment.run(on: points, options: options)
    if results.skippedCount > 0 {
      console.say("Skipped \(results.skippedCount) of \(steps) updates: their gradients were not finite")
    }
    let testCount = points.test.shape[0]
    for (time, reconstruction) in [("before", results.before), ("after", results.after)] {
      console.say(
        "Test data \(time) training: ESS \(format(reconstruction.ess, "%.1f")) of \(testCount), "
          + "log Z \(format(reconstruction.logZ, "%.4f"))")
    }
    try training.write(VAEResults.fileNames) { try results.write(to: $0) }
    try training.close(resumedStep: results.resumedStep) { try results.digest(workers: options.workers) }
  }
}
