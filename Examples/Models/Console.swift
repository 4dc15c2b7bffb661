import Foundation

/// What a command says: results on standard output, messages and progress on standard error.
public struct Console: Sendable {
  /// Whether only ``answer(_:)`` and ``complain(_:)`` say anything.
  private let isQuiet: Bool
  private let showsProgress: Bool

  /// A console; progress is shown if standard error is a terminal.
  public init(quiet: Bool = false) {
    isQuiet = quiet
    showsProgress = !quiet && isatty(STDERR_FILENO) == 1
  }

  /// Prints a line.
  public func say(_ line: String) {
    if !isQuiet { answer(line) }
  }

  /// Prints a line, quiet or not.
  public func answer(_ line: String) {
    clearProgress()
    Self.write(line + "\n", to: .standardOutput)
  }

  /// Shows how far work has come, in place of what was shown before; two hundred times at most.
  public func progress(_ done: Int, of total: Int, _ note: String) {
    guard showsProgress, total > 0, 200 * done / total != 200 * (done - 1) / total else { return }
    let width = 30
    let filled = width * done / total
    let bar = String(repeating: "█", count: filled) + String(repeating: "·", count: width - filled)
    Self.write("\r\(bar) \(done)/\(total)  \(note)\u{1B}[K", to: .standardError)
  }

  /// Takes the progress off the terminal.
  public func clearProgress() {
    if showsProgress { Self.write("\r\u{1B}[K", to: .standardError) }
  }

  /// Prints a line on standard error.
  public static func complain(_ line: String) {
    write(line + "\n", to: .standardError)
  }

  private static func write(_ text: String, to file: FileHandle) {
    // Nobody is left to be told when the standard streams are closed.
    try? file.write(contentsOf: Data(text.utf8))
  }
}
