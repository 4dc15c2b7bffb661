import Coix

/// What came of a ``BMNISTExperiment``.
public struct BMNISTResults: Sendable {
  /// The experiment's settings.
  public let experiment: BMNISTExperiment
  /// The test sequences, `[sequence, frame, height, width]`.
  public let test: Tensor
  /// The loss of the batch of each step of this run, before the step.
  public let losses: [Float]
  /// The trained networks.
  public let model: BMNIST
  /// The updates that were skipped because their gradient was not finite.
  public let skippedCount: Int
  /// The mean time of a step, without the first one; nil if there was no other.
  public let secondsPerStep: Double?
  /// The step after which this run went on from a checkpoint, so that losses are those of later steps; nil if it took all.
  public let resumedStep: Int?
  /// The test sequences before training.
  public let before: BMNISTInference
  /// The test sequences after training.
  public let after: BMNISTInference

  /// A hash of the bits of all losses, the trained parameters, and what was inferred of the test sequences: the same
  /// on any number of threads.
  public var digest: Digest {
    var digest = Digest()
    for loss in losses { digest.add(loss) }
    digest.add(model)
    for inference in [before, after] {
      for density in inference.logDensity { digest.add(density) }
      digest.add(inference.positions)
      digest.add(inference.reconstructions)
    }
    return digest
  }

  /// The files that ``write(to:)`` makes.
  public static let fileNames = [
    "frames.npy", "losses.npy", "positions_before.npy", "positions_after.npy", "reconstructions_before.npy",
    "reconstructions_after.npy", "parameters.npz", "summary.json",
  ]

  /// Writes everything into an existing folder, as `scripts/plot bmnist` reads it.
  ///
  /// - Throws: `CoixError.file(path:reason:)`.
  public func write(to folder: String) throws {
    func path(_ name: String) -> String { "\(folder)/\(name)" }
    try test.write(npy: path("frames.npy"))
    try Tensor(losses).write(npy: path("losses.npy"))
    for (time, inference) in [("before", before), ("after", after)] {
      try inference.positions.write(npy: path("positions_\(time).npy"))
      try inference.reconstructions.write(npy: path("reconstructions_\(time).npy"))
    }
    try model.write(npz: path("parameters.npz"))
    try JSONFile.write(summary, to: path("summary.json"))
  }

  /// The summary that is written.
  public var summary: BMNISTSummary {
    BMNISTSummary(
      steps: experiment.steps, batch: experiment.batch, particles: experiment.particles,
      sweeps: experiment.sweeps, frames: experiment.frames, testFrames: experiment.testFrames,
      frameSize: model.frameSize, digitSize: model.meanDigit.shape[0], learningRate: experiment.learningRate,
      seed: experiment.seed, trainCount: experiment.trainCount, testCount: experiment.testCount,
      skippedUpdates: skippedCount, secondsPerStep: secondsPerStep, resumedStep: resumedStep,
      lossFirst: resumedStep == nil ? losses.first?.ifFinite : nil, lossLast: losses.last?.ifFinite,
      logDensity: .init(
        before: before.logDensity.map(\.ifFinite), after: after.logDensity.map(\.ifFinite)))
  }
}

/// Settings and results in figures; those that are not finite are left out, or null within a list.
public struct BMNISTSummary: Codable, Equatable, Sendable {
  public let steps: Int
  public let batch: Int
  public let particles: Int
  public let sweeps: Int
  public let frames: Int
  public let testFrames: Int
  public let frameSize: Int
  public let digitSize: Int
  public let learningRate: Float
  public let seed: Int
  public let trainCount: Int
  public let testCount: Int
  public let skippedUpdates: Int
  /// The mean over all steps but the first.
  public let secondsPerStep: Double?
  /// The step after which the run went on from a checkpoint; there is no first loss then.
  public let resumedStep: Int?
  public let lossFirst: Float?
  public let lossLast: Float?
  /// The log joint density after 0, 1, 2, … sweeps, the mean over particles and test sequences.
  public let logDensity: Densities

  /// Log joint densities before and after training.
  public struct Densities: Codable, Equatable, Sendable {
    public let before: [Float?]
    public let after: [Float?]
  }
}
