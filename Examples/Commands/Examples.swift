import ArgumentParser
import Coix
import CoixParallel
import ExampleModels
import Foundation

/// The examples, one subcommand each.
@main
public struct Examples: ParsableCommand {
  public static let configuration = CommandConfiguration(
    commandName: "examples", abstract: "Inference programs, trained and evaluated.",
    discussion: """
      Each example trains, evaluates, and prints what it finds; with --out DIR it writes arrays and a summary.json, which \
      scripts/demo draws. For a start: examples vae --out out/vae
      """,
    version: Library.version,
    subcommands: [
      VAECommand.self, AnnealCommand.self, AnnealTableCommand.self, GMMCommand.self, DMMCommand.self,
      BMNISTCommand.self, SSMCommand.self, InferCommand.self, ListCommand.self,
    ])

  public init() {}

  /// The command that arguments name.
  ///
  /// - Throws: what parsing throws; for an example that there is none of, a `ValidationError` that names the nearest.
  public static func command(_ arguments: [String]) throws -> any ParsableCommand {
    let names = configuration.subcommands.compactMap { $0.configuration.commandName }
    if let name = arguments.first, !name.hasPrefix("-"), !names.contains(name), name != "help" {
      let nearest = names.min { $0.distance(to: name) < $1.distance(to: name) }
      let advice = nearest.flatMap { $0.distance(to: name) <= 2 ? "; did you mean '\($0)'?" : nil } ?? "."
      throw ValidationError("there is no example '\(name)'\(advice) 'examples list' lists them.")
    }
    return try parseAsRoot(arguments)
  }

  /// Runs the command that the arguments name.
  public static func main() {
    // A file that gets larger than the process may make any is an error like others.
    signal(SIGXFSZ, SIG_IGN)
    Console.run { arguments in
      var command = try command(arguments)
      try command.run()
    } orEnd: { error in
      // What isn't an error, such as help, is an answer.
      if exitCode(for: error) == .success {
        Console.exit(0) { Console().answer(fullMessage(for: error)) }
      }
      Console.exit(exitCode(for: error).rawValue, because: error) { exit(withError: error) }
    }
  }
}

extension String {
  /// How many letters must be added, left out or replaced, or changed with their neighbours, to get from here to another text:
  /// the restricted Damerau-Levenshtein distance.
  fileprivate func distance(to other: String) -> Int {
    let (own, other) = (Array(self), Array(other))
    var rows = [Array(0...other.count)]
    for i in own.indices {
      var row = [i + 1]
      for j in other.indices {
        let cost = own[i] == other[j] ? 0 : 1
        var least = Swift.min(row[j] + 1, rows[i][j + 1] + 1, rows[i][j] + cost)
        if i > 0, j > 0, own[i] == other[j - 1], own[i - 1] == other[j] {
          least = Swift.min(least, rows[i - 1][j - 1] + 1)
        }
        row.append(least)
      }
      rows.append(row)
    }
    return rows[own.count][other.count]
  }
}
