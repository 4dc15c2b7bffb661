import Coix

/// What came of a ``GibbsExperiment``.
public struct GibbsResults<Mixture: GibbsExperimentModel>: Sendable {
  /// The experiment's settings.
  public let experiment: GibbsExperiment<Mixture>
  /// The test sets.
  public let test: PointSets
  /// The loss of the batch of each step of this run, before the step.
  public let losses: [Float]
  /// The trained sampler.
  public let mixture: Mixture
  /// The updates that were skipped because their gradient was not finite.
  public let skippedCount: Int
  /// The time of a step of training, the mean over all but the first of this run; nil if there was no other.
  public let secondsPerStep: Double?
  /// The step after which this run went on from a checkpoint, so that losses are those of later steps; nil if it took all.
  public let resumedStep: Int?
  /// The test sets before training.
  public let before: GibbsInference
  /// The test sets after training.
  public let after: GibbsInference

  /// A hash of the bits of all losses, the trained parameters, and what was inferred of the test sets: the same
  /// on any number of threads.
  public var digest: Digest {
    var digest = Digest()
    for loss in losses { digest.add(loss) }
    digest.add(mixture)
    for inference in [before, after] {
      for density in inference.logDensity { digest.add(density) }
      digest.add(inference.variables)
    }
    return digest
  }

  /// The files that ``write(to:)`` makes.
  public static var fileNames: [String] {
    [
      "points.npy", "clusters.npy", "losses.npy", "inferred_before.npz", "inferred_after.npz",
      "parameters.npz",
      "summary.json",
    ]
  }

  /// Writes everything into an existing folder: the test sets' points and clusters, the losses, what was inferred,
  /// the parameters and a summary.
  ///
  /// - Throws: `CoixError.file(path:reason:)`.
  public func write(to folder: String) throws {
    func path(_ name: String) -> String { "\(folder)/\(name)" }
    try test.points.write(npy: path("points.npy"))
    try test.clusters.write(npy: path("clusters.npy"))
    try Tensor(losses).write(npy: path("losses.npy"))
    try before.variables.write(npz: path("inferred_before.npz"))
    try after.variables.write(npz: path("inferred_after.npz"))
    try mixture.write(npz: path("parameters.npz"))
    try JSONFile.write(summary, to: path("summary.json"))
  }

  /// The summary that is written.
  public var summary: GibbsSummary {
    GibbsSummary(
      steps: experiment.steps, batch: experiment.batch, particles: experiment.particles,
      sweeps: experiment.sweeps, learningRate: experiment.learningRate, seed: experiment.seed,
      trainCount: experiment.trainCount, points: experiment.points, testCount: experiment.testCount,
      skippedUpdates: skippedCount,
      secondsPerStep: secondsPerStep, resumedStep: resumedStep,
      lossFirst: resumedStep == nil ? losses.first?.ifFinite : nil, lossLast: losses.last?.ifFinite,
      logDensity: BeforeAndAfter(
        before: before.logDensity.map(\.ifFinite), after: after.logDensity.map(\.ifFinite)),
      accuracy: BeforeAndAfter(before: before.accuracy, after: after.accuracy))
  }
}

/// Settings and results in figures; those that are not finite are left out, or null within a list.
public struct GibbsSummary: Codable, Equatable, Sendable {
  public let steps: Int
  public let batch: Int
  public let particles: Int
  public let sweeps: Int
  public let learningRate: Float
  public let seed: Int
  public let trainCount: Int
  public let points: Int
  public let testCount: Int
  public let skippedUpdates: Int
  /// The mean over all steps but the first of this run.
  public let secondsPerStep: Double?
  /// The step after which the run went on from a checkpoint; there is no first loss then.
  public let resumedStep: Int?
  public let lossFirst: Float?
  public let lossLast: Float?
  /// The log joint density after 0, 1, 2, … sweeps, the mean over particles and test sets.
  public let logDensity: BeforeAndAfter<[Float?]>
  /// The share of test points whose cluster was found; see ``PointSets/accuracy(of:clusterCount:)``.
  public let accuracy: BeforeAndAfter<Float>
}

/// A result before and after training.
public struct BeforeAndAfter<Result: Codable & Equatable & Sendable>: Codable, Equatable, Sendable {
  public let before: Result
  public let after: Result
}
