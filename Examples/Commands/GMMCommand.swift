import ArgumentParser
import ExampleModels

/// Trains population Gibbs samplers for Gaussian mixtures.
public struct GMMCommand: ParsableCommand {
  public static let configuration = CommandConfiguration(
    commandName: "gmm",
    abstract: "Train amortized Gibbs proposals for Gaussian mixtures.",
    discussion: """
      Sets of points in the plane, each from one of three Gaussian clusters. Networks that read a set propose the clusters' \
      means and precisions, and every point's cluster, in turn (Wu et al., "Amortized population Gibbs samplers", 2020). The \
      test sets are inferred before and after training: the log joint density should rise from sweep to sweep, and higher after \
      training.

      --full takes 200,000 steps, as coix's example does: an hour and a half on one core. The same seed gives the same numbers on any \
      number of threads.

      An example: examples gmm --out out/gmm && scripts/plot gmm out/gmm
      """)

  @OptionGroup var options: GibbsOptions
  @OptionGroup(title: "Training and results")
  var training: TrainingArguments

  public init() {}

  private var experiment: GMMExperiment { options.experiment(seed: training.seed) }

  public func validate() throws { try options.validate(experiment) }
  public func run() throws { try options.run(experiment, training) }
}
