import ArgumentParser
import Coix
import ExampleModels
import Foundation

/// The examples, one subcommand each.
@main
public struct Examples: ParsableCommand {
  public static let configuration = CommandConfiguration(
    commandName: "examples", abstract: "Inference programs, trained and evaluated.",
    subcommands: [VAECommand.self, AnnealCommand.self])

  public init() {}

  /// Runs the command that the arguments name. What goes wrong is one line on standard error.
  public static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let error as CoixError {
      Console.complain("Error: \(error)")
      Foundation.exit(error.exitStatus)
    } catch {
      exit(withError: error)
    }
  }
}
