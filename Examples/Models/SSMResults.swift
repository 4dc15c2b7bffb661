import Coix

/// What a training of proposals has come to.
public struct SSMTraining: Sendable {
  /// A step, and the mean of log Ẑ over the runs of the filter after it.
  public typealias Point = (step: Int, logZ: Float)

  /// How the proposals learned.
  public let objective: SSMObjective
  /// The trained proposals.
  public let proposals: SSMProposals
  /// How the filter with as many particles as it is trained with got better.
  public let curve: [Point]
  /// The updates that were skipped because their gradient was not finite.
  public let skippedCount: Int
  /// The mean time of a step; nil where it is not known.
  public let secondsPerStep: Double?
  /// The step after which this run went on from a checkpoint, so that the curve is that of later steps; nil if it took all.
  public let resumedStep: Int?
}

/// The evidence that a filter estimates, over some runs.
public struct SSMEstimate: Codable, Equatable, Sendable {
  /// The filter's proposals: an ``SSMObjective``, `bootstrap` or `locallyOptimal`.
  public let proposals: String
  /// The filter's particles.
  public let particles: Int
  /// The mean of log Ẑ.
  public let logZ: Double
  /// The standard error of the mean.
  public let standardError: Double

  /// - Parameter numbers: log Ẑ of two runs or more.
  init(proposals: String, of numbers: [Float], particles: Int) {
    let numbers = numbers.map(Double.init)
    let mean = numbers.reduce(0, +) / Double(numbers.count)
    let squares = numbers.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    (self.proposals, self.particles, logZ) = (proposals, particles, mean)
    standardError = (squares / Double(numbers.count * (numbers.count - 1))).squareRoot()
  }
}

/// What came of an ``SSMExperiment``.
public struct SSMResults: Sendable {
  /// The experiment's settings.
  public let experiment: SSMExperiment
  /// One training for each objective.
  public let trainings: [SSMTraining]
  /// By proposals, then by particles.
  public let estimates: [SSMEstimate]

  /// A hash of the bits of all curves, proposals and estimates: the same on any number of threads.
  public var digest: Digest {
    var digest = Digest()
    for training in trainings {
      for point in training.curve { digest.add(point.logZ) }
      digest.add(training.proposals)
    }
    for estimate in estimates { digest.add(Float(estimate.logZ)) }
    return digest
  }

  /// The estimates as lines: proposals by particles.
  public func table(_ format: (Double) -> String) -> [String] {
    let titles = [
      "bootstrap": "bootstrap", "vsmc": "trained by VSMC", "nasmc": "trained by NASMC",
      "locallyOptimal": "locally optimal",
    ]
    func row(_ title: String, _ cells: [String]) -> String {
      title.padded(to: 16) + cells.map { "  " + $0.padded(to: 16) }.joined()
    }
    let head = row("", SSMExperiment.particleCounts.map { "N = \($0)" })
    let names = estimates.map(\.proposals).uniqued
    return [head]
      + names.map { name in
        row(
          titles[name] ?? name,
          estimates.filter { $0.proposals == name }.map { "\(format($0.logZ)) ± \(format($0.standardError))" }
        )
      }
  }

  /// The files that ``write(to:)`` makes.
  public static let fileNames =
    SSMObjective.allCases.flatMap { ["curve_\($0.rawValue).npy", "proposals_\($0.rawValue).npz"] } + [
      "summary.json"
    ]

  /// Writes everything into an existing folder, as `scripts/plot ssm` reads it.
  ///
  /// - Throws: ``CoixError/file(path:reason:)``.
  public func write(to folder: String) throws {
    for training in trainings {
      let name = training.objective.rawValue
      let curve = training.curve.flatMap { [Float($0.step), $0.logZ] }
      try Tensor(curve, shape: [training.curve.count, 2]).write(npy: "\(folder)/curve_\(name).npy")
      try training.proposals.write(npz: "\(folder)/proposals_\(name).npz")
    }
    try JSONFile.write(summary, to: "\(folder)/summary.json")
  }

  /// The summary that is written.
  public var summary: SSMSummary {
    SSMSummary(
      logEvidence: SSM.logEvidence, steps: experiment.steps, particles: experiment.particles,
      learningRate: experiment.learningRate, runs: experiment.runs, seed: experiment.seed,
      estimates: estimates,
      skippedUpdates: Dictionary(
        uniqueKeysWithValues: trainings.map { ($0.objective.rawValue, $0.skippedCount) }),
      secondsPerStep: Dictionary(
        uniqueKeysWithValues: trainings.compactMap { training in
          training.secondsPerStep.map { (training.objective.rawValue, $0) }
        }))
  }
}

/// Settings and results in figures.
public struct SSMSummary: Codable, Equatable, Sendable {
  /// log p(y), by the Kalman filter.
  public let logEvidence: Double
  public let steps: Int
  public let particles: Int
  public let learningRate: Float
  public let runs: Int
  public let seed: Int
  public let estimates: [SSMEstimate]
  /// By objective.
  public let skippedUpdates: [String: Int]
  /// By objective.
  public let secondsPerStep: [String: Double]
}

extension String {
  fileprivate func padded(to width: Int) -> String {
    self + String(repeating: " ", count: max(width - count, 0))
  }
}

extension [String] {
  /// Each once, in the order of their first appearance.
  fileprivate var uniqued: [String] { reduce(into: []) { if !$0.contains($1) { $0.append($1) } } }
}
