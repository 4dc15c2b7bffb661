import ArgumentParser
import Coix
import ExampleModels

/// What of a workload is timed.
public enum Mode: String, CaseIterable, ExpressibleByArgument, Sendable {
  /// The evaluation's metrics.
  case forward
  /// The loss and its gradient.
  case gradient
  /// A step of training.
  case train

  /// How many runs come before the timings; the last one's result is what is hashed.
  var firstRuns: Int { self == .train ? 10 : 2 }
}

/// A piece of work that `bench` knows. A new one is a file of its own and a line in ``Workloads/all``.
protocol Workload: Sendable {
  var name: String { get }
  /// What can be timed of it, and on how many particles, unless the user says. What needs the least memory
  /// comes first, since a row's peak memory includes what is kept of the rows before.
  var modes: KeyValuePairs<Mode, Int> { get }
  /// Makes a mode's data, once for all thread counts. What it returns makes the work, ready to be run again
  /// and again, for each of them.
  func jobs(_ mode: Mode, particles: Int) throws -> (Workers) throws -> any Job
}

/// Work that can be run again and again. The first runs give the same results on any number of threads.
protocol Job {
  /// Runs once.
  mutating func run() throws
  /// Adds the last run's result.
  func addResult(to digest: inout Digest) throws
}

/// The workloads; those that need the least memory come first.
enum Workloads {
  static let all: [any Workload] = [
    VAEWorkload(), FilterWorkload(), ImportanceWorkload(), RandomWorkload(), ResampleWorkload(),
    MixtureWorkload(), GibbsWorkload<GMM>(name: "gmm"), GibbsWorkload<DMM>(name: "dmm"), BMNISTWorkload(),
    DenseWorkload(), AnnealWorkload(), WideWorkload(), SMCWorkload(),
  ]
  static var names: String { all.map(\.name).joined(separator: ", ") }
}
