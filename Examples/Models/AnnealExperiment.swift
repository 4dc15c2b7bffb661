import Coix
import Foundation

/// The reference's experiment: train an annealed sampler, and evaluate it on more particles.
public struct AnnealExperiment: Sendable {
  /// The number of targets K, from the wide normal distribution to the modes.
  public var targets = 8
  /// What the sampler learns by.
  public var method = AnnealedSampler.Method.nvir
  /// Whether the targets' inverse temperatures are learned too, or rise in equal steps.
  public var learnsPath = true
  /// How the networks' hidden layers are drawn.
  public var hiddenLayers = AnnealedSampler.HiddenLayers.lecunNormal
  /// Particles in a step of training.
  public var particles = 36
  /// Steps of training.
  public var steps = 20_000
  /// Adam's step size.
  public var learningRate: Float = 1e-3
  /// What parameters and particles are drawn from.
  public var seed = 0
  /// Runs of the evaluation.
  public var evaluationRuns = 100
  /// Particles in a run of the evaluation.
  public var evaluationParticles = 1_000

  /// The reference's settings.
  public init() {}

  /// The sampler before training.
  public var initial: AnnealedSampler {
    AnnealedSampler(targets: targets, learnsPath: learnsPath, hiddenLayers: hiddenLayers, seed: seed)
  }

  /// Looks through the settings.
  ///
  /// - Throws: ``CoixError/argument(_:)`` for one outside of its domain; ``CoixError/memory(what:bytes:)``.
  public func validate() throws {
    let most = Int(Int32.max)
    try require(targets, in: 2...1_000, "number of targets")
    try require(steps, in: 1...most, "number of steps")
    try require(particles, in: 1...most, "number of particles")
    try require(evaluationRuns, in: 1...most, "number of runs of the evaluation")
    try require(evaluationParticles, in: 1...most, "number of particles of the evaluation")
    guard learningRate > 0, learningRate.isFinite else {
      throw CoixError.argument("the learning rate must be positive and finite, is \(learningRate)")
    }
    let particles = max(particles, evaluationParticles)
    let bytes = 32 * particles  // points, weights and ancestors
    guard bytes <= ProcessInfo.processInfo.physicalMemory else {
      throw CoixError.memory(what: "\(particles) particles", bytes: bytes)
    }
  }

  /// How many times a sampler is evaluated while it trains.
  private static let progressCount = 50

  /// Runs the experiment.
  ///
  /// - Throws: as ``validate()``; what evaluations throw; ``Interrupted``.
  public func run(options: TrainingOptions = TrainingOptions()) throws -> AnnealResults {
    try validate()
    let (plate, workers) = (Plate("particle", count: particles), options.workers)
    let initial = initial
    var options = options
    options.evaluateEvery = max(steps / Self.progressCount, 1)
    options.settings.merge([
      "targets": "\(targets)", "method": method.rawValue, "linear": "\(!learnsPath)",
      "hidden-layers": hiddenLayers.rawValue,
      "particles": "\(particles)", "learning-rate": "\(learningRate)",
    ]) { $1 }

    var losses: [Float] = []
    var looked = try look(at: initial, workers)
    var progress = [AnnealProgress(step: 0, evaluation: looked)]
    let training = try train(
      initial, by: Adam(for: initial, learningRate: .constant(learningRate)), steps: steps,
      seed: PRNGKey(seed: seed), options: options,
      evaluate: { sampler in
        looked = try look(at: sampler, workers)
        return 1 - looked.ess
      },
      onStep: { step in
        losses.append(step.loss)
        if step.evaluation != nil { progress.append(AnnealProgress(step: step.step, evaluation: looked)) }
      },
      loss: { [method] sampler, key in
        let options = EvaluationOptions(workers: workers, keep: .metrics)
        return try evaluate(sampler.training(plate, by: method), seed: key, options: options)().metrics.loss
      }
    ).uninterrupted()
    return AnnealResults(
      experiment: self, losses: losses, progress: progress, sampler: training.parameters,
      skippedCount: training.optimizer.skippedCount, secondsPerStep: training.secondsPerStep,
      resumedStep: training.resumedStep,
      evaluation: try AnnealEvaluation(
        of: training.parameters, resamples: method.resamples, runs: evaluationRuns,
        particles: evaluationParticles, workers: workers))
  }

  /// A short evaluation, with the same draws each time.
  private func look(at sampler: AnnealedSampler, _ workers: Workers) throws -> AnnealEvaluation {
    try AnnealEvaluation(
      of: sampler, resamples: method.resamples, runs: 1, particles: evaluationParticles, workers: workers)
  }
}
