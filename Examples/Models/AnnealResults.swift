import Coix

/// What came of an ``AnnealExperiment``.
public struct AnnealResults: Sendable {
  /// The experiment's settings.
  public let experiment: AnnealExperiment
  /// The loss of each step, before the step.
  public let losses: [Float]
  /// The sampler as it was before training, and at times while it trained.
  public let progress: [AnnealProgress]
  /// The trained sampler.
  public let sampler: AnnealedSampler
  /// The updates that were skipped because their gradient was not finite.
  public let skippedCount: Int
  /// The mean time of a step of training; nil if there was only one.
  public let secondsPerStep: Double?
  /// The step after which this run went on from a checkpoint, so that losses and progress are those of later steps; nil if it took all.
  public let resumedStep: Int?
  /// The trained sampler's evaluation.
  public let evaluation: AnnealEvaluation

  /// A hash of the bits of all losses, the trained parameters, evaluations and samples: the same on any number
  /// of threads.
  ///
  /// - Throws: what evaluations throw.
  public func digest(workers: Workers = .standard) throws -> Digest {
    var digest = Digest()
    for loss in losses { digest.add(loss) }
    digest.add(sampler)
    for evaluation in progress.map(\.evaluation) + [evaluation] {
      digest.add(evaluation.logZ)
      digest.add(evaluation.incrementalESS)
      digest.add(evaluation.cumulativeESS)
    }
    digest.add(try sampler.samples(seed: experiment.seed, workers: workers))
    return digest
  }

  /// The files that ``write(to:workers:)`` makes.
  public static let fileNames = [
    "losses.npy", "progress.npy", "samples.npy", "inverse_temperatures.npy", "parameters.npz", "summary.json",
  ]

  /// Writes everything into an existing folder, as `scripts/plot anneal` reads it. A row of `progress.npy` is a
  /// step of training, log Z, and the effective sample sizes of the last step's weights and of those of all
  /// steps, as fractions of the particles.
  ///
  /// - Throws: ``CoixError/file(path:reason:)``; what evaluations throw.
  public func write(to folder: String, workers: Workers = .standard) throws {
    func path(_ name: String) -> String { "\(folder)/\(name)" }
    try Tensor(losses).write(npy: path("losses.npy"))
    let rows = progress.flatMap { point in
      let evaluation = point.evaluation
      return [Float(point.step), evaluation.logZ, evaluation.incrementalESS, evaluation.cumulativeESS]
    }
    try Tensor(rows, shape: [progress.count, 4]).write(npy: path("progress.npy"))
    try sampler.samples(seed: experiment.seed, workers: workers).write(npy: path("samples.npy"))
    try Tensor.stack(sampler.inverseTemperatures).write(npy: path("inverse_temperatures.npy"))
    try sampler.write(npz: path("parameters.npz"))
    try JSONFile.write(summary, to: path("summary.json"))
  }

  /// The summary that is written.
  public var summary: AnnealSummary {
    AnnealSummary(
      targets: experiment.targets, method: experiment.method.rawValue, learnsPath: experiment.learnsPath,
      particles: experiment.particles, steps: experiment.steps, learningRate: experiment.learningRate,
      seed: experiment.seed, evaluationRuns: experiment.evaluationRuns,
      evaluationParticles: experiment.evaluationParticles, skippedUpdates: skippedCount,
      secondsPerStep: secondsPerStep, resumedStep: resumedStep, lossLast: losses.last?.ifFinite,
      logZ: evaluation.logZ.ifFinite,
      essFraction: evaluation.ess.ifFinite, essFractionOfLastStep: evaluation.incrementalESS.ifFinite,
      essFractionOfAllSteps: evaluation.cumulativeESS.ifFinite)
  }
}

/// A sampler in the middle of its training.
public struct AnnealProgress: Sendable {
  /// The steps that have been taken.
  public let step: Int
  /// The sampler's evaluation.
  public let evaluation: AnnealEvaluation
}

extension AnnealedSampler {
  /// Equally weighted samples of each target, `[targets, count, 2]`.
  ///
  /// - Throws: what evaluations throw.
  public func samples(_ count: Int = 2_000, seed: Int, workers: Workers = .standard) throws -> Tensor {
    let plate = Plate("particle", count: count)
    let options = EvaluationOptions(workers: workers, keep: .output)
    return Tensor.stack(
      try (0..<targetCount).map { target in
        let key = PRNGKey(seed: seed).folded(in: target)
        let samples = resample(inference(plate, target: target))
        let result = try evaluate(samples, seed: key, options: options)()
        return result.output.values
      })
  }
}

/// Settings and results in figures; those that are not finite are left out.
public struct AnnealSummary: Codable, Equatable, Sendable {
  public let targets: Int
  public let method: String
  public let learnsPath: Bool
  public let particles: Int
  public let steps: Int
  public let learningRate: Float
  public let seed: Int
  public let evaluationRuns: Int
  public let evaluationParticles: Int
  public let skippedUpdates: Int
  public let secondsPerStep: Double?
  /// The step after which the run went on from a checkpoint.
  public let resumedStep: Int?
  public let lossLast: Float?
  public let logZ: Float?
  public let essFraction: Float?
  public let essFractionOfLastStep: Float?
  public let essFractionOfAllSteps: Float?
}
