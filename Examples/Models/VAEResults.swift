import Coix

/// What came of a ``VAEExperiment``.
public struct VAEResults: Sendable {
  /// The experiment's settings.
  public let experiment: VAEExperiment
  /// The points it ran on.
  public let data: PointData
  /// The loss of the batch of each step of this run, before the step.
  public let losses: [Float]
  /// The trained networks.
  public let vae: VAE
  /// The updates that were skipped because their gradient was not finite.
  public let skippedCount: Int
  /// The step after which this run went on from a checkpoint, so that losses are those of later steps; nil if it took all.
  public let resumedStep: Int?
  /// The test points before training.
  public let before: Reconstruction
  /// The test points after training.
  public let after: Reconstruction

  /// A hash of the bits of all losses, the trained parameters, the test points' log-weights, and one value
  /// with gradient on 200,000 generated points: the same on any number of threads.
  ///
  /// - Throws: what the evaluation throws.
  public func digest(workers: Workers = .standard) throws -> Digest {
    var digest = Digest()
    for loss in losses { digest.add(loss) }
    digest.add(vae)
    digest.add(before.logWeight)
    digest.add(after.logWeight)
    let result = try vae.lossAndGradientOfDigest(seed: experiment.seed, workers: workers)
    digest.add(result.value)
    digest.add(result.gradient)
    return digest
  }

  /// The files that ``write(to:)`` makes.
  public static let fileNames = [
    "train.npy", "test.npy", "losses.npy", "reconstructions_before.npy", "reconstructions_after.npy",
    "parameters.npz",
    "summary.json",
  ]

  /// Writes everything into an existing folder, as `scripts/plot vae` reads it.
  ///
  /// - Throws: ``CoixError/file(path:reason:)``.
  public func write(to folder: String) throws {
    func path(_ name: String) -> String { "\(folder)/\(name)" }
    try data.train.write(npy: path("train.npy"))
    try data.test.write(npy: path("test.npy"))
    try Tensor(losses).write(npy: path("losses.npy"))
    try before.points.write(npy: path("reconstructions_before.npy"))
    try after.points.write(npy: path("reconstructions_after.npy"))
    try vae.write(npz: path("parameters.npz"))
    try JSONFile.write(summary, to: path("summary.json"))
  }

  /// The summary that is written.
  public var summary: VAESummary {
    VAESummary(
      steps: experiment.steps, batch: experiment.batch, learningRate: experiment.learningRate,
      hidden: experiment.hidden, seed: experiment.seed, trainCount: data.train.shape[0],
      testCount: data.test.shape[0],
      skippedUpdates: skippedCount, resumedStep: resumedStep,
      lossFirst: resumedStep == nil ? losses.first?.ifFinite : nil, lossLast: losses.last?.ifFinite,
      essBefore: before.ess.ifFinite, logZBefore: before.logZ.ifFinite, essAfter: after.ess.ifFinite,
      logZAfter: after.logZ.ifFinite)
  }
}

/// Settings and results in figures; those that are not finite are left out.
public struct VAESummary: Codable, Equatable, Sendable {
  public let steps: Int
  public let batch: Int
  public let learningRate: Float
  public let hidden: Int
  public let seed: Int
  public let trainCount: Int
  public let testCount: Int
  public let skippedUpdates: Int
  /// The step after which the run went on from a checkpoint; there is no first loss then.
  public let resumedStep: Int?
  public let lossFirst: Float?
  public let lossLast: Float?
  public let essBefore: Float?
  public let logZBefore: Float?
  public let essAfter: Float?
  public let logZAfter: Float?
}
