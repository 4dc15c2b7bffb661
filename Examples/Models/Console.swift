import Coix
import CoixParallel
import Foundation
import Synchronization

/// What a command says: results on standard output, errors on standard error.
public struct Console: Sendable {
  /// Whether only ``answer(_:)`` and ``complain(_:)`` say anything.
  private let isQuiet: Bool
  /// The first error in writing to standard output, which ends the process with its status.
  private static let failure = Mutex<CoixError?>(nil)

  /// A console.
  public init(quiet: Bool = false) { isQuiet = quiet }

  /// Prints a line.
  public func say(_ line: String) {
    if !isQuiet { answer(line) }
  }

  /// Prints a line, quiet or not.
  public func answer(_ line: String) {
    do {
      try WholeFile.print(line + "\n")
    } catch {
      // Results may go elsewhere, too.
      Self.failure.withLock { $0 = $0 ?? error as? CoixError }
    }
  }

  /// Prints an error on standard error, with a red head on a terminal (unless `NO_COLOR` is set; <https://no-color.org>).
  public static func complain(head: String = "Error", _ error: String) {
    let isPlain = ProcessInfo.processInfo.environment["NO_COLOR"].map { !$0.isEmpty } ?? false
    let isColoured = isatty(STDERR_FILENO) == 1 && !isPlain
    let line = (isColoured ? "\u{1B}[31m\(head):\u{1B}[0m " : "\(head): ") + error + "\n"
    // Nobody is left to be told if this cannot be written.
    try? FileHandle.standardError.write(contentsOf: Data(line.utf8))
  }

  /// Runs a command on all ranks, which must have the same arguments, and ends the process. What goes wrong is one line on standard error.
  ///
  /// - Parameters:
  ///   - command: parses the arguments, and does what they say.
  ///   - end: ends the process with an error that is none of the library's.
  public static func run(_ command: ([String]) throws -> Void, orEnd end: (any Error) -> Never) -> Never {
    occupyClosedStreams()
    do {
      let arguments = Array(CommandLine.arguments.dropFirst())
      // Before anything is said, so that the ranks say it once.
      try Ranks.join().requireSame(arguments: arguments)
      try command(arguments)
      exit(0)
    } catch let interruption as Interrupted {
      // Shells say so of a process that a signal has ended.
      Foundation.exit(128 + interruption.signal)
    } catch let error as CoixError {
      exit(error.exitStatus, because: error) { complain("\(error)") }
    } catch {
      end(error)
    }
  }

  /// Has something open in place of each standard stream that is closed, which cannot be read or written either. Else the next file that is
  /// opened would be the stream, and get what is printed.
  private static func occupyClosedStreams() {
    for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 {
      // The lowest free number is this one.
      _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
    }
  }

  /// Ends the process with a status; with another one than 0 if something could not be written to standard output. What is to be
  /// said of it is said once for all ranks that have it: where it is no error, by the first one.
  public static func exit(_ status: Int32, because error: (any Error)? = nil, saying say: () -> Void = {})
    -> Never
  {
    let speaks = error.map { Ranks.reports($0) } ?? (try? Ranks.join().isFirst) ?? true
    if speaks { say() }
    if status == 0, let error = failure.withLock({ $0 }) {
      complain("\(error)")
      Foundation.exit(error.exitStatus)
    }
    Foundation.exit(status)
  }
}
