import ArgumentParser
import Coix
import ExampleModels
import Foundation

/// Trains the tutorial's variational autoencoder.
public struct VAECommand: ParsableCommand {
  public static let configuration = CommandConfiguration(
    commandName: "vae",
    abstract: "Train a variational autoencoder on points in the plane.",
    discussion: """
      Makes two-moons data, trains with Adam, prints the loss of every tenth step, and compares reconstructions of test \
      points before and after. With --data the points come from a file: a .npy array [n, 2] or a text with two columns. \
      They are shuffled by the seed; a fifth (or --test) are test points, the others (or --train of them) are trained on.

      The same seed gives the same numbers on any number of threads.
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
  @Option(parsing: .unconditional, help: "Seed of data, parameters and draws.")
  var seed = 0
  @Option(parsing: .unconditional, help: "Threads; may exceed the cores. (default: one for each core)")
  var threads: Int?

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

  @Option(
    help: ArgumentHelp("A folder for the results: .npy, .npz, .json.", valueName: "dir"),
    completion: .directory)
  var out: String?
  @Flag(help: "Print a hash of all results' bits.")
  var digest = false
  @Flag(name: .shortAndLong, help: "Print nothing but errors and the digest.")
  var quiet = false

  public init() {}

  private var experiment: VAEExperiment {
    var result = VAEExperiment()
    result.steps = steps
    result.batch = batch
    result.learningRate = learningRate
    result.hidden = hidden
    result.seed = seed
    return result
  }

  public func validate() throws {
    do {
      _ = try workers()
      try experiment.validate()
    } catch let error as CoixError {
      throw ValidationError(error.description)
    }
    if data != nil, noise != nil {
      throw ValidationError("--noise is for two moons; the points of --data are taken as they are")
    }
  }

  public func run() throws {
    let console = Console(quiet: quiet)
    let workers = try workers()
    let points =
      if let data {
        try PointData.file(data, train: train, test: test, seed: seed)
      } else {
        try PointData.twoMoons(train: train ?? 10_000, test: test ?? 3_000, noise: noise ?? 0.1, seed: seed)
      }
    if let out { try ResultFolder.make(out) }
    let results = try run(on: points, workers, console)
    let testCount = points.test.shape[0]
    for (time, reconstruction) in [("before", results.before), ("after", results.after)] {
      console.say(
        "Test data \(time) training: ESS \(format(reconstruction.ess, "%.1f")) of \(testCount), "
          + "log Z \(format(reconstruction.logZ, "%.4f"))")
    }
    if let out {
      try results.write(to: out)
      console.say("Wrote \(VAEResults.fileNames.joined(separator: ", ")) to \(out)")
    }
    if digest { console.answer("digest: \(try results.digest(workers: workers))") }
  }

  private func workers() throws -> Workers {
    try threads.map { try Workers(threads: $0) } ?? .standard
  }

  /// Runs the experiment; says what the losses are and what was skipped, whether it comes to an end or fails.
  private func run(on points: PointData, _ workers: Workers, _ console: Console) throws -> VAEResults {
    var skipped = 0
    defer {
      console.clearProgress()
      if skipped > 0 {
        console.say("Skipped \(skipped) of \(steps) updates: their gradients were not finite")
      }
    }
    return try experiment.run(on: points, workers: workers) { step, loss, skippedCount in
      skipped = skippedCount
      if step % 10 == 0 { console.say("Iteration \(step): Loss \(format(loss, "%.4f"))") }
      console.progress(step + 1, of: steps, "loss \(format(loss, "%.4f"))")
    }
  }

  private func format(_ number: Float, _ format: String) -> String { String(format: format, Double(number)) }
}
