import ArgumentParser
import Coix
import ExampleModels

/// Trains annealed samplers in all the ways of the paper's table.
struct AnnealTableCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "anneal-table",
    abstract: "Compare ways to train the annealed sampler.",
    discussion: """
      Table 1 of Zimmermann et al., "Nested variational inference", 2021, with effective sample sizes of 100 particles, \
      both of the last step's weights and of all steps' weights without resampling. A star says that the path is learned. \
      Each of 24 samplers is trained once, in about a minute; --full trains each of them ten times, as the paper does.

      An example: examples anneal-table --full
      """)

  @Option(parsing: .unconditional, help: "Steps of each training.")
  var steps = 20_000
  @Option(
    parsing: .unconditional, help: "How many times each sampler is trained. (default: 1; 10 with --full)")
  var restarts: Int?
  @Flag(help: "Train each sampler ten times.")
  var full = false
  @Option(parsing: .unconditional, help: "Threads; may exceed the cores. (default: one for each core)")
  var threads: Int?

  private var table: AnnealTable {
    var result = AnnealTable()
    result.steps = steps
    result.restarts = restarts ?? (full ? 10 : 1)
    return result
  }

  func validate() throws {
    do {
      _ = try workers()
      try table.validate()
    } catch let error as CoixError {
      throw ValidationError(error.description)
    }
  }

  func run() throws {
    let console = Console(quiet: try !Ranks.join().isFirst)
    let table = table
    var options = TrainingOptions()
    options.workers = try workers()
    let columns = ["log Z", "last ESS", "all ESS"].flatMap { name in
      table.targets.map { "\(name), K = \($0)" }
    }
    console.say("| method | \(columns.joined(separator: " | ")) |")
    console.say("| --- |" + String(repeating: " --- |", count: columns.count))
    try table.run(options: options) { row in
      let figures =
        row.logZ.map { format($0, "%.2f") }
        + (row.incrementalESS + row.cumulativeESS).map { format($0, "%.0f") }
      console.say("| \(row.name) | \(figures.joined(separator: " | ")) |")
    }
  }

  private func workers() throws -> Workers {
    let ranks = try Ranks.join()
    return try threads.map { try Workers(threads: $0, ranks: ranks) } ?? Workers(ranks: ranks)
  }
}
