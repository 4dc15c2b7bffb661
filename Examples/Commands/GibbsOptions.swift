import ArgumentParser
import Coix
import ExampleModels
import Foundation

/// What the commands that train population Gibbs samplers have in common.
struct GibbsOptions: ParsableArguments {
  // Numbers are taken unconditionally: a negative one is a value, not the name of another flag.
  @Option(parsing: .unconditional, help: "Steps of training. (default: a minute's worth or two)")
  var steps: Int?
  @Flag(help: "As many steps as coix's example.")
  var full = false
  @Option(parsing: .unconditional, help: "Sets in a batch.")
  var batch = 20
  @Option(parsing: .unconditional, help: "Particles of a set.")
  var particles = 10
  @Option(parsing: .unconditional, help: "Sweeps after the first proposals.")
  var sweeps = 5
  @Option(parsing: .unconditional, help: "Adam's step size. (default: as in coix's example)")
  var learningRate: Float?
  @Option(parsing: .unconditional, help: "Sets to train on.")
  var train = 20_000
  @Option(parsing: .unconditional, help: "Sets to test with.")
  var test = 20
  @Option(parsing: .unconditional, help: "Seed of data, parameters and draws.")
  var seed = 0
  @Option(parsing: .unconditional, help: "Threads; may exceed the cores. (default: one for each core)")
  var threads: Int?

  @Option(
    help: ArgumentHelp("A folder for the results: .npy, .npz, .json.", valueName: "dir"),
    completion: .directory)
  var out: String?
  @Flag(help: "Print a hash of all results' bits.")
  var digest = false
  @Flag(name: .shortAndLong, help: "Print nothing but errors and the digest.")
  var quiet = false

  init() {}

  func validate<Mixture>(_ type: GibbsExperiment<Mixture>.Type) throws {
    do {
      _ = try workers()
      try experiment(type).validate()
    } catch let error as CoixError {
      throw ValidationError(error.description)
    }
    if full, steps != nil {
      throw ValidationError("--full is \(Mixture.published.steps) steps; leave --steps out, or --full")
    }
  }

  func run<Mixture>(_ type: GibbsExperiment<Mixture>.Type) throws {
    let console = Console(quiet: quiet)
    if let out { try ResultFolder.make(out) }
    let results = try train(experiment(type), try workers(), console)
    for (time, inference) in [("before", results.before), ("after", results.after)] {
      let densities = inference.logDensity.map { format($0, "%.1f") }.joined(separator: "  ")
      console.say("Test sets \(time) training, log joint density after 0, 1, … sweeps: \(densities)")
      console.say(
        "Test sets \(time) training, points in the right cluster: \(format(100 * inference.accuracy, "%.1f")) %"
      )
    }
    console.say("A step took \(format(Float(1000 * results.secondsPerStep), "%.1f")) ms")
    if let out {
      try results.write(to: out)
      console.say("Wrote \(GibbsResults<Mixture>.fileNames.joined(separator: ", ")) to \(out)")
    }
    if digest { console.answer("digest: \(results.digest)") }
  }

  private func experiment<Mixture>(_: GibbsExperiment<Mixture>.Type) -> GibbsExperiment<Mixture> {
    var result = GibbsExperiment<Mixture>()
    if full { result.steps = Mixture.published.steps }
    if let steps { result.steps = steps }
    if let learningRate { result.learningRate = learningRate }
    (result.batch, result.particles, result.sweeps) = (batch, particles, sweeps)
    (result.trainCount, result.testCount, result.seed) = (train, test, seed)
    return result
  }

  private func workers() throws -> Workers {
    try threads.map { try Workers(threads: $0) } ?? .standard
  }

  /// Runs the experiment; says what the losses are and what was skipped, whether it comes to an end or fails.
  private func train<Mixture>(
    _ experiment: GibbsExperiment<Mixture>, _ workers: Workers, _ console: Console
  ) throws -> GibbsResults<Mixture> {
    let steps = experiment.steps
    var skipped = 0
    var sum: Float = 0
    defer {
      console.clearProgress()
      if skipped > 0 {
        console.say("Skipped \(skipped) of \(steps) updates: their gradients were not finite")
      }
    }
    return try experiment.run(workers: workers) { step, loss, skippedCount in
      skipped = skippedCount
      sum += loss
      if step.isMultiple(of: 100) {
        console.say("Step \(step): mean loss of 100 steps \(format(sum / 100, "%.3f"))")
        sum = 0
      }
      console.progress(step, of: steps, "loss \(format(loss, "%.3f"))")
    }
  }

  private func format(_ number: Float, _ format: String) -> String { String(format: format, Double(number)) }
}
