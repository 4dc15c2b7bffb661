import ArgumentParser
import ExampleModels

/// Trains population Gibbs samplers for ring-shaped mixtures.
public struct DMMCommand: ParsableCommand {
  public static let configuration = CommandConfiguration(
    commandName: "dmm",
    abstract: "Train amortized Gibbs proposals, and a decoder, for ring-shaped mixtures.",
    discussion: """
      Sets of points in the plane, each on one of four rings. Networks that read a set propose the rings' centres, and every \
      point's ring and place on it, in turn (Wu et al., "Amortized population Gibbs samplers", 2020); a decoder learns the shape. \
      The test sets are inferred before and after training: the log joint density should rise from sweep to sweep, and higher \
      after training.

      --full takes 30,000 steps, as coix's example does: three and a half hours on one core. The same seed gives the same numbers on any \
      number of threads.

      An example: examples dmm --out out/dmm && scripts/plot dmm out/dmm
      """)

  @OptionGroup var options: GibbsOptions
  @OptionGroup(title: "Training and results")
  var training: TrainingArguments

  public init() {}

  private var experiment: DMMExperiment { options.experiment(seed: training.seed) }

  public func validate() throws { try options.validate(experiment) }
  public func run() throws { try options.run(experiment, training) }
}
