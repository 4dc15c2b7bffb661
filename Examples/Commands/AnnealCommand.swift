import ArgumentParser
import Coix
import ExampleModels
import Foundation

extension AnnealedSampler.Method: ExpressibleByArgument {}

/// Trains the annealed sampler.
public struct AnnealCommand: ParsableCommand {
  public static let configuration = CommandConfiguration(
    commandName: "anneal",
    abstract: "Train a sampler of eight modes by nested variational inference.",
    discussion: """
      Particles go from a wide normal distribution to eight modes on a circle, past targets in between; networks learn \
      how to move them, and where the targets are. Trains with Adam, then evaluates on more particles: the exact log Z \
      is log 8 = 2.0794. The default is the published setting, and takes a few seconds.

      The same seed gives the same numbers on any number of threads.

        examples anneal --out out/anneal && scripts/plot-anneal out/anneal
        examples anneal table
      """,
    subcommands: [AnnealTableCommand.self])

  // Numbers are taken unconditionally: a negative one is a value, not the name of another flag.
  @Option(parsing: .unconditional, help: "Targets, the first and the last included.")
  var targets = 8
  @Option(
    help: """
      What the sampler learns by: svi, the evidence lower bound of all steps together; avo, a bound for each step; nvi, \
      nested variational inference; nvir, the same with resampling before each step.
      """)
  var method = AnnealedSampler.Method.nvir
  @Flag(help: "Inverse temperatures of the targets in equal steps, instead of learned ones.")
  var linear = false
  @Option(parsing: .unconditional, help: "Particles in a step of training.")
  var particles = 36
  @Option(parsing: .unconditional, help: "Steps of training.")
  var steps = 20_000
  @Option(parsing: .unconditional, help: "Adam's step size.")
  var learningRate: Float = 1e-3
  @Option(parsing: .unconditional, help: "Seed of parameters and draws.")
  var seed = 0
  @Option(parsing: .unconditional, help: "Threads; may exceed the cores. (default: one for each core)")
  var threads: Int?

  @Option(
    help: ArgumentHelp("A folder for the results: .npy, .npz, .json.", valueName: "dir"),
    completion: .directory)
  var out: String?
  @Flag(name: .shortAndLong, help: "Print nothing but errors.")
  var quiet = false

  public init() {}

  private var experiment: AnnealExperiment {
    var result = AnnealExperiment()
    result.targets = targets
    result.method = method
    result.learnsPath = !linear
    result.particles = particles
    result.steps = steps
    result.learningRate = learningRate
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
  }

  public func run() throws {
    let console = Console(quiet: quiet)
    let workers = try workers()
    let results = try experiment.run(workers: workers) { step, loss in
      if step % max(steps / 10, 1) == 0 { console.say("Step \(step): loss \(format(loss, "%.4f"))") }
      console.progress(step, of: steps, "loss \(format(loss, "%.4f"))")
    }
    console.clearProgress()
    let evaluation = results.evaluation
    console.say(
      "log Z \(format(evaluation.logZ, "%.4f")), exactly 2.0794; ESS \(format(100 * evaluation.incrementalESS, "%.1f")) % "
        + "of the last step's weights, \(format(100 * evaluation.cumulativeESS, "%.1f")) % of all steps' weights"
    )
    console.say("\(String(format: "%.1f", 1e6 * results.secondsPerStep)) µs for each step of training")
    if let out {
      try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: true)
      try results.write(to: out, workers: workers)
      console.say("Wrote \(AnnealResults.fileNames.joined(separator: ", ")) to \(out)")
    }
  }

  private func workers() throws -> Workers {
    try threads.map { try Workers(threads: $0) } ?? .standard
  }

  private func format(_ number: Float, _ format: String) -> String { String(format: format, Double(number)) }
}

/// Trains samplers in all the ways of the paper's table.
struct AnnealTableCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "table",
    abstract:
      "Train and compare samplers as table 1 of Zimmermann et al., \"Nested variational inference\", 2021.")

  @Option(parsing: .unconditional, help: "Steps of training.")
  var steps = 20_000
  @Option(parsing: .unconditional, help: "How many times each sampler is trained.")
  var restarts = 1
  @Option(parsing: .unconditional, help: "Threads; may exceed the cores. (default: one for each core)")
  var threads: Int?
  @Flag(name: .shortAndLong, help: "Print nothing but errors and the table.")
  var quiet = false

  func run() throws {
    let console = Console(quiet: quiet)
    var table = AnnealTable()
    (table.steps, table.restarts) = (steps, restarts)
    let workers = try threads.map { try Workers(threads: $0) } ?? .standard
    let rows = try table.rows(workers: workers) { console.progress($0, of: $1, "samplers") }
    func line(_ name: String, _ figures: [Float], _ format: String) -> String {
      "| \(name) | \(figures.map { String(format: format, Double($0)) }.joined(separator: " | ")) |"
    }
    for row in rows {
      console.answer(
        line(row.name, row.logZ, "%.2f") + line("", row.essOfLastStep, "%.0f")
          + line("", row.essOfAllSteps, "%.0f"))
    }
  }
}
