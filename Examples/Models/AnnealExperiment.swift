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

  /// Looks through the settings.
  ///
  /// - Throws: ``CoixError/argument(_:)`` for one outside of its domain; ``CoixError/memory(what:bytes:)``.
  public func validate() throws {
    func require(_ value: Int, in range: ClosedRange<Int>, _ name: String) throws {
      guard value >= range.lowerBound else {
        throw CoixError.argument("the \(name) must be at least \(range.lowerBound), is \(value)")
      }
      guard value <= range.upperBound else {
        throw CoixError.argument("the \(name) must be at most \(range.upperBound), is \(value)")
      }
    }
    try require(targets, in: 2...1_000, "number of targets")
    try require(steps, in: 1...Int(Int32.max), "number of steps")
    try require(particles, in: 1...Int(Int32.max), "number of particles")
    try require(evaluationRuns, in: 1...Int(Int32.max), "number of runs to evaluate")
    try require(evaluationParticles, in: 1...Int(Int32.max), "number of particles to evaluate")
    guard learningRate > 0, learningRate.isFinite else {
      throw CoixError.argument("the learning rate must be positive and finite, is \(learningRate)")
    }
    let bytes = 32 * max(particles, evaluationParticles)  // points, weights and ancestors
    guard bytes <= ProcessInfo.processInfo.physicalMemory else {
      throw CoixError.memory(what: "\(bytes / 32) particles", bytes: bytes)
    }
  }
}

extension AnnealExperiment {
  /// How many times a sampler is evaluated while it trains.
  private static let progressCount = 50

  /// Runs the experiment. Step i of training, counted from 1, uses the seed's key folded with i, as the
  /// reference does.
  ///
  /// `onStep` is called after each step of training with its number, from 1, and its loss.
  ///
  /// - Throws: as ``validate()``; what evaluations throw.
  public func run(
    workers: Workers = .standard,
    onStep: (_ step: Int, _ loss: Float) -> Void = { _, _ in }
  ) throws -> AnnealResults {
    try validate()
    let key = PRNGKey(seed: seed)
    let initial = AnnealedSampler(targets: targets, learnsPath: learnsPath, seed: seed)
    let plate = Plate("particle", count: particles)
    let options = EvaluationOptions(workers: workers, keep: .metrics)
    let adam = Adam(for: initial, learningRate: .constant(learningRate))
    let training = CompiledTraining(initial, by: adam, workers: workers) { [method] sampler, key in
      try evaluate(sampler.training(plate, by: method), seed: key, options: options)().metrics.loss
    }
    let clock = ContinuousClock()
    var seconds = Duration.zero
    var losses: [Float] = []
    var progress = [AnnealProgress(step: 0, evaluation: try look(at: initial, workers))]
    for step in 1...steps {
      seconds += try clock.measure { losses.append(try training.step(key: key.folded(in: step))) }
      onStep(step, losses[step - 1])
      if step * Self.progressCount / steps > (step - 1) * Self.progressCount / steps {
        progress.append(
          AnnealProgress(step: step, evaluation: try look(at: training.parameters, workers)))
      }
    }
    let trained = try training.parameters
    return AnnealResults(
      experiment: self, losses: losses, progress: progress, sampler: trained,
      skippedCount: try training.optimizer.skippedCount, secondsPerStep: seconds / steps / .seconds(1),
      evaluation: try AnnealEvaluation(
        of: trained, resamples: method.resamples, runs: evaluationRuns, particles: evaluationParticles,
        workers: workers))
  }

  /// A short evaluation: the same draws each time.
  private func look(at sampler: AnnealedSampler, _ workers: Workers) throws -> AnnealEvaluation {
    try AnnealEvaluation(
      of: sampler, resamples: method.resamples, runs: 1, particles: evaluationParticles, workers: workers)
  }
}
