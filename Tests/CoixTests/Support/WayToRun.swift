import Coix

/// A way to run a program: how many threads there are, in which order the chunks come, and whether the program
/// runs for each of them. All ways must give the same bits and the same errors.
struct WayToRun: Sendable, CustomStringConvertible {
  var threads = 1
  var shuffleSeed: UInt64?
  var execution = EvaluationOptions.Execution.eager

  /// One thread, one chunk after the other, each by the program: what the other ways are compared with.
  static let plain = WayToRun()

  /// Some threads and orders, in both executions.
  static let others: [WayToRun] = [EvaluationOptions.Execution.replayed, .eager].flatMap { execution in
    [(1, nil), (1, 1), (2, nil), (2, 2), (3, 3), (16, nil), (16, 4), (16, 4)].map {
      WayToRun(threads: $0, shuffleSeed: $1, execution: execution)
    }
  }

  /// A few of them, for suites of many programs.
  static let few: [WayToRun] = [
    WayToRun(execution: .replayed), WayToRun(threads: 2, shuffleSeed: 2, execution: .replayed),
    WayToRun(threads: 16, shuffleSeed: 4, execution: .replayed), WayToRun(threads: 3, shuffleSeed: 3),
  ]

  /// Replayed: on one thread, and on two in another order. For evaluations of very many rows.
  static let replayed = [
    WayToRun(execution: .replayed), WayToRun(threads: 2, shuffleSeed: 3, execution: .replayed),
  ]

  /// The options, for a rank alone or for one of several, to be completed.
  func options(of ranks: Ranks = .alone, _ complete: (inout EvaluationOptions) -> Void = { _ in }) throws
    -> EvaluationOptions
  {
    var options = EvaluationOptions(
      workers: try Workers(threads: threads, ranks: ranks, shuffleSeed: shuffleSeed), execution: execution)
    complete(&options)
    return options
  }

  var description: String {
    "\(execution), \(threads) threads, shuffle seed \(shuffleSeed.map(String.init) ?? "none")"
  }
}
