import Foundation

/// Says how a training goes: lines, and on a terminal how far it has come.
struct TrainingReporter {
  private let reports: TrainingReports
  private let lastStep: Int
  /// The steps that were taken before this run.
  private let stepBefore: Int
  private let showsProgress: Bool
  private var course = LossCourse()
  private var shown = Duration.zero
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant

  /// - Parameters:
  ///   - stepBefore: the number of the step before the first one of this run.
  ///   - lastStep: the number of the training's last step.
  init(_ reports: TrainingReports, after stepBefore: Int, until lastStep: Int) {
    self.reports = reports
    (self.stepBefore, self.lastStep) = (stepBefore, lastStep)
    showsProgress = if case .standardError = reports { isatty(STDERR_FILENO) == 1 } else { false }
    start = clock.now
  }

  /// Says a line.
  func say(_ line: String) {
    switch reports {
    case .none: break
    case .lines(let body): body(line)
    case .standardError: write((showsProgress ? Self.clear : "") + line + "\n")
    }
  }

  /// Says what a step has come to.
  func report(_ step: TrainingStep, secondsPerStep: Double?) {
    if case .none = reports { return }
    let width = String(lastStep).count
    let number = String(step.step)
    var line = "step " + String(repeating: " ", count: max(width - number.count, 0)) + number
    line += " | loss \(Self.text(step.meanLoss))"
    if let evaluation = step.evaluation { line += " | evaluation \(Self.text(evaluation))" }
    if let epoch = step.epoch { line += " | epoch \(epoch)" }
    if step.skipped > 0 { line += " | skipped \(step.skipped)" }
    if let secondsPerStep { line += " | \(Self.time(secondsPerStep)) a step" }
    say(line)
  }

  /// Shows on a terminal how far the training has come, a few times a second.
  mutating func show(_ step: TrainingStep, secondsPerStep: Double?) {
    guard showsProgress else { return }
    course.note(step.loss)
    let now = clock.now - start
    guard now - shown >= .milliseconds(100) || step.step == lastStep else { return }
    shown = now
    let width = 24
    let filled = lastStep > 0 ? width * step.step / lastStep : width
    let left = now / .seconds(1) / Double(step.step - stepBefore) * Double(lastStep - step.step)
    let bar = String(repeating: "█", count: filled) + String(repeating: "·", count: width - filled)
    var line = "\r\(bar) \(step.step)/\(lastStep)  loss \(Self.text(step.loss)) \(course)"
    if let secondsPerStep { line += "  \(Self.time(secondsPerStep)) a step" }
    line += ", \(Self.time(left)) left"
    write(line + "\u{1B}[K")
  }

  /// Takes the progress off the terminal.
  func clear() {
    if showsProgress { write(Self.clear) }
  }

  private static let clear = "\r\u{1B}[K"

  private func write(_ text: String) {
    // Nobody is left to be told when standard error is closed.
    try? FileHandle.standardError.write(contentsOf: Data(text.utf8))
  }

  private static func text(_ number: Float) -> String {
    let isPlain = number == 0 || (1e-3..<1e7).contains(abs(number))
    return String(format: isPlain ? "%.4f" : "%.4g", Double(number.withoutSignOfNaN))
  }

  private static func time(_ seconds: Double) -> String {
    switch seconds {
    case ..<1e-3: String(format: "%.0f µs", seconds * 1e6)
    case ..<1: String(format: "%.1f ms", seconds * 1e3)
    case ..<60: String(format: "%.1f s", seconds)
    case ..<3600: String(format: "%.0f min", (seconds / 60).rounded(.up))
    default: String(format: "%.1f h", seconds / 3600)
    }
  }
}

/// The course of the losses so far, as a row of bars: means over parts of equal length.
struct LossCourse: CustomStringConvertible {
  private var means: [Float] = []
  /// How many losses make a mean, and those of the mean that is not complete.
  private var length = 1
  private var (sum, count): (Float, Int) = (0, 0)
  private static let most = 16

  mutating func note(_ loss: Float) {
    guard loss.isFinite else { return }
    (sum, count) = (sum + loss, count + 1)
    guard count == length else { return }
    means.append(sum / Float(length))
    (sum, count) = (0, 0)
    guard means.count == Self.most else { return }
    means = stride(from: 0, to: Self.most, by: 2).map { (means[$0] + means[$0 + 1]) / 2 }
    length *= 2
  }

  var description: String {
    guard let least = means.min(), let most = means.max(), least < most else { return "" }
    let bars = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
    return means.map { mean in
      let height = (mean - least) / (most - least)
      return bars[height.isFinite ? min(Int(height * 8), 7) : 0]
    }.joined()
  }
}
