import ArgumentParser
import Coix
import ExampleModels

/// Trains the annealed sampler.
public struct AnnealCommand: ParsableCommand {
  public static let configuration = CommandConfiguration(
    commandName: "anneal",
    abstract: "Train a sampler of eight modes by nested variational inference.",
    discussion: """
      On the way from a wide normal distribution to eight modes on a circle, particles pass targets in between. Networks \
      learn to carry them from each target to the next, and where on the way the targets lie. Trains with Adam and \
      evaluates the sampler on 100 times 1000 particles; log Z is exactly log 8 = 2.0794. The published setting, 20,000 \
      steps, takes a few seconds, and is the default. "examples anneal-table" compares ways to train. \
      What is reported as evaluation is the fraction of particles that unequal weights cost.

      The same seed gives the same numbers on any number of threads.

      An example: examples anneal --full --out out/anneal && scripts/plot anneal out/anneal
      """)

  // Numbers are taken unconditionally: a negative one is a value, not the name of another flag.
  @Option(parsing: .unconditional, help: "Targets, the first and the last included. (default: 8)")
  var targets: Int?
  @Option(
    help: """
      What the sampler learns by: svi, the evidence lower bound of all steps together; avo, a bound for each step; \
      nvi, nested variational inference; nvir, the same with resampling before each step. (default: nvir)
      """)
  var method: AnnealedSampler.Method?
  @Flag(help: "Let inverse temperatures rise in equal steps, instead of learning them.")
  var linear = false
  @Option(parsing: .unconditional, help: "Particles in a step of training. (default: 36)")
  var particles: Int?
  @Option(parsing: .unconditional, help: "Steps of training. (default: 20000)")
  var steps: Int?
  @Option(parsing: .unconditional, help: "Adam's step size. (default: 0.001)")
  var learningRate: Float?
  @Flag(help: "The published setting, whatever the options above say.")
  var full = false

  @OptionGroup(title: "Training and results")
  var training: TrainingArguments

  public init() {}

  private var experiment: AnnealExperiment {
    var result = AnnealExperiment()
    result.seed = training.seed
    if full { return result }
    result.targets = targets ?? result.targets
    result.method = method ?? result.method
    result.learnsPath = !linear
    result.particles = particles ?? result.particles
    result.steps = steps ?? result.steps
    result.learningRate = learningRate ?? result.learningRate
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
    let options = try training.options(writing: AnnealResults.fileNames)
    // The first rank alone evaluates for the results.
    let own = try Workers(threads: options.workers.threads)
    // What does not fit into memory is refused before training.
    if training.out != nil {
      try options.workers.ranks.onFirst {
        _ = try experiment.initial.samples(seed: experiment.seed, workers: own)
      }
    }
    if training.digest { _ = try experiment.initial.samples(seed: experiment.seed, workers: options.workers) }
    let results = try experiment.run(options: options)
    if results.skippedCount > 0 {
      console.say("Skipped \(results.skippedCount) updates: their gradients were not finite")
    }
    let evaluation = results.evaluation
    console.say(
      "log Z \(format(evaluation.logZ, "%.4f")), exactly 2.0794; effective sample size, of the last step's weights "
        + "\(format(100 * evaluation.incrementalESS, "%.1f")) %, of all steps' weights without resampling "
        + "\(format(100 * evaluation.cumulativeESS, "%.1f")) %")
    try training.write(AnnealResults.fileNames) { try results.write(to: $0, workers: own) }
    try training.close(resumedStep: results.resumedStep) { try results.digest(workers: options.workers) }
  }
}

extension AnnealedSampler.Method: ExpressibleByArgument {}
