import ArgumentParser
import Coix
import ExampleModels

/// What the commands that train population Gibbs samplers have in common.
struct GibbsOptions: ParsableArguments {
  // Numbers are taken unconditionally: a negative one is a value, not the name of another flag.
  @Option(parsing: .unconditional, help: "Steps of training. (default: a minute's worth or two)")
  var steps: Int?
  @Flag(help: "The setting of coix's example.")
  var full = false
  @Option(parsing: .unconditional, help: "Sets in a batch.")
  var batch = 20
  @Option(parsing: .unconditional, help: "Particles of a set.")
  var particles = 10
  @Option(parsing: .unconditional, help: "Sweeps after the first proposals.")
  var sweeps = 5
  @Option(
    parsing: .unconditional,
    help: "Adam's step size. (default: 1e-3; on Gaussians 1e-2, or 2.5e-4 with --full)")
  var learningRate: Float?
  @Option(parsing: .unconditional, help: "Sets to train on.")
  var train = 20_000
  @Option(
    parsing: .unconditional, help: "Points of a training set. (default: 60; on rings 40, or 200 with --full)")
  var points: Int?
  @Option(parsing: .unconditional, help: "Sets to test with.")
  var test = 20

  init() {}

  func validate<Mixture>(_ experiment: GibbsExperiment<Mixture>) throws {
    do {
      try experiment.validate()
    } catch let error as CoixError {
      throw ValidationError(error.description)
    }
    if full, steps != nil {
      throw ValidationError("--full is \(Mixture.published.steps) steps; leave --steps out, or --full")
    }
  }

  func experiment<Mixture>(seed: Int) -> GibbsExperiment<Mixture> {
    var result = GibbsExperiment<Mixture>(full: full)
    if let steps { result.steps = steps }
    if let learningRate { result.learningRate = learningRate }
    if let points { result.points = points }
    (result.batch, result.particles, result.sweeps) = (batch, particles, sweeps)
    (result.trainCount, result.testCount, result.seed) = (train, test, seed)
    return result
  }

  /// Runs an experiment, and says what was inferred before and after training.
  func run<Mixture>(_ experiment: GibbsExperiment<Mixture>, _ training: TrainingArguments) throws {
    let console = try training.console
    let results = try experiment.run(options: training.options(writing: GibbsResults<Mixture>.fileNames))
    if results.skippedCount > 0 {
      console.say("Skipped \(results.skippedCount) updates: their gradients were not finite")
    }
    for (time, inference) in [("before", results.before), ("after", results.after)] {
      let densities = inference.logDensity.map { format($0, "%.1f") }.joined(separator: ", ")
      console.say("Test sets \(time) training: log joint density after each sweep \(densities)")
      console.say("  points in the right cluster: \(format(100 * inference.accuracy, "%.1f")) %")
    }
    if let seconds = results.secondsPerStep {
      console.say("A step took \(format(1000 * seconds, "%.1f")) ms")
    }
    try training.write(GibbsResults<Mixture>.fileNames) { try results.write(to: $0) }
    try training.close(resumedStep: results.resumedStep) { results.digest }
  }
}
