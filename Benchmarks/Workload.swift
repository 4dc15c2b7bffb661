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

  /// Particles, unless the user says.
  var defaultParticles: Int { self == .train ? 300 : 1_000_000 }
  /// The least number of runs that one timing takes together, since a single one is too short to be timed.
  var runsPerTiming: Int { self == .train ? 100 : 1 }
}

/// A piece of work that `bench` knows. A new one is a file of its own and a line in ``Workloads/all``.
protocol Workload: Sendable {
  var name: String { get }
  /// What can be timed of it; what needs the least memory comes first, since a row's peak memory includes
  /// what the rows before left in the buffer pools.
  var modes: [Mode] { get }
  /// What a job works on: made once, for all thread counts.
  func makeData(_ mode: Mode, particles: Int) throws -> Tensor
  /// The work, ready to be run again and again.
  func makeJob(_ mode: Mode, data: Tensor, particles: Int, workers: Workers) throws -> any Job
}

/// Work that can be run again and again. The first runs give the same results on any number of threads.
protocol Job {
  /// Runs once.
  mutating func run() throws
  /// Adds the last run's result.
  func addResult(to digest: inout Digest)
}

/// The workloads.
enum Workloads {
  static let all: [any Workload] = [VAEWorkload()]
  static var names: String { all.map(\.name).joined(separator: ", ") }
}
