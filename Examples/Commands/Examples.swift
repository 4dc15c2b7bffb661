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
      BMNISTCommand.self, SSMCommand.self, ListCommand.self,
    ])

  public init() {}

  /// Runs the command that the arguments name. What goes wrong is one line on standard error.
  public static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let interruption as Interrupted {
      // Shells say so of a process that a signal has ended.
      Foundation.exit(128 + interruption.signal)
    } catch let error as CoixError {
      Console.complain("\(error)")
      Foundation.exit(error.exitStatus)
    } catch {
      exit(withError: error)
    }
  }
}
