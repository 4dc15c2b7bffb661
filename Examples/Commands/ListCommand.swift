import ArgumentParser
import CoixParallel
import ExampleModels

/// Lists the examples.
struct ListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the examples.",
    discussion: "Each of them says more with --help: examples vae --help, for instance.")

  func run() throws {
    let console = Console(quiet: try !Ranks.join().isFirst)
    let examples = Examples.configuration.subcommands.map { $0.configuration }.filter {
      $0.commandName != "list"
    }
    let width = examples.compactMap { $0.commandName?.count }.max() ?? 0
    for example in examples {
      let name = example.commandName ?? ""
      console.say(name.padding(to: width) + "  " + example.abstract)
    }
  }
}

extension String {
  fileprivate func padding(to width: Int) -> String {
    self + String(repeating: " ", count: max(width - count, 0))
  }
}
