import ArgumentParser
import Coix
import ExampleModels

/// Trains particle filters for a model whose evidence is known.
public struct SSMCommand: ParsableCommand {
  public static let configuration = CommandConfiguration(
    commandName: "ssm",
    abstract: "Train a particle filter's proposals; compare its evidence with the Kalman filter's.",
    discussion: """
      The linear-Gaussian state-space model of Naesseth et al., "Variational sequential Monte Carlo", 2018: five states, three \
      of them observed, ten times. Proposals start as the model's transitions (the bootstrap filter) and are trained with few particles, once \
      by variational SMC and once by neural adaptive SMC. Then log Z is estimated with 4, 16, 64 and 256 particles, and compared with the \
      exact one. --full has the published settings, 2,500 steps and 300 runs.

      The same seed gives the same numbers on any number of threads.

      An example: examples ssm --full --out out/ssm && scripts/plot ssm out/ssm
      """)

  // Numbers are taken unconditionally: a negative one is a value, not the name of another flag.
  @Option(parsing: .unconditional, help: "Steps of each training. (default: 1000; 2500 with --full)")
  var steps: Int?
  @Option(parsing: .unconditional, help: "Particles of the filter that is trained with.")
  var particles = 4
  @Option(parsing: .unconditional, help: "Adam's step size.")
  var learningRate: Float = 1e-2
  @Option(
    parsing: .unconditional, help: "Runs that an estimate is the mean of. (default: 100; 300 with --full)")
  var runs: Int?
  @Flag(help: "Run with the published settings.")
  var full = false

  @OptionGroup(title: "Training and results")
  var training: TrainingArguments

  public init() {}

  private var experiment: SSMExperiment {
    var result = full ? SSMExperiment.published : SSMExperiment()
    result.steps = steps ?? result.steps
    result.runs = runs ?? result.runs
    result.particles = particles
    result.learningRate = learningRate
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
    let results = try experiment.run(options: training.options(writing: SSMResults.fileNames))
    for training in results.trainings {
      let name = training.objective.rawValue.uppercased()
      if training.skippedCount > 0 {
        console.say(
          "\(name): skipped \(training.skippedCount) of \(experiment.steps) updates: their gradients were not finite"
        )
      }
      if let seconds = training.secondsPerStep {
        console.say("\(name): \(format(1e6 * seconds, "%.0f")) µs a step")
      }
    }
    console.say("log Z by the Kalman filter: \(format(SSM.logEvidence, "%.4f"))")
    console.say("Estimates, mean ± standard error of \(experiment.runs) runs:")
    for line in results.table({ format($0, "%.3f") }) { console.say(line) }
    try training.write(SSMResults.fileNames) { try results.write(to: $0) }
    try training.close(resumedStep: results.trainings.compactMap(\.resumedStep).min()) { results.digest }
  }
}
