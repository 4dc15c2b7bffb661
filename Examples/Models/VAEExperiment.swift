import Coix
import Foundation

/// The tutorial's experiment: evaluate the autoencoder on test data, train it, evaluate it again.
public struct VAEExperiment: Sendable {
  /// Steps of training.
  public var steps = 100
  /// Points in a step's batch.
  public var batch = 300
  /// Adam's step size.
  public var learningRate: Float = 1e-2
  /// The width of the networks' hidden layer.
  public var hidden = 32
  /// What parameters, batches and codes are drawn from.
  public var seed = 0

  /// The tutorial's settings.
  public init() {}

  /// The autoencoder before training.
  public var initial: VAE { VAE(hidden: hidden, key: PRNGKey(seed: seed)) }

  /// Looks through the settings.
  ///
  /// - Throws: ``CoixError/argument(_:)`` for one outside of its domain; ``CoixError/memory(what:bytes:)``.
  public func validate() throws {
    try require(steps, in: 1...Int(Int32.max), "number of steps")
    try require(batch, in: 1...Int(Int32.max), "batch size")
    try require(hidden, in: 1...1_000_000, "hidden layer's width")
    guard learningRate > 0, learningRate.isFinite else {
      throw CoixError.argument("the learning rate must be positive and finite, is \(learningRate)")
    }
    let bytes = 32 * batch  // indices, points and weights
    guard bytes <= ProcessInfo.processInfo.physicalMemory else {
      throw CoixError.memory(what: "a batch of \(batch) points", bytes: bytes)
    }
  }

  /// Runs the experiment.
  ///
  /// The options' first step is left out: as in the tutorial, steps are counted from 0.
  ///
  /// - Throws: as ``validate()``; what evaluations throw; ``Interrupted``.
  public func run(on data: PointData, options: TrainingOptions = TrainingOptions()) throws -> VAEResults {
    try validate()
    let (key, workers) = (PRNGKey(seed: seed), options.workers)
    let initial = initial
    let before = try Reconstruction(of: data.test, by: initial, key: key, workers: workers)
    let loss = VAEBatchLoss(data.train, batch: batch, workers: workers)
    var options = options
    options.firstStep = 0
    options.settings.merge([
      "batch": "\(batch)", "learning-rate": "\(learningRate)", "hidden": "\(hidden)", "data": "\(data)",
    ]) { $1 }
    var losses: [Float] = []
    let training = try train(
      initial, by: Adam(for: initial, learningRate: .constant(learningRate)), steps: steps, seed: key,
      options: options, onStep: { losses.append($0.loss) }, loss: { try loss($0, key: $1) }
    ).uninterrupted()
    let trained = training.parameters
    return VAEResults(
      experiment: self, data: data, losses: losses, vae: trained,
      skippedCount: training.optimizer.skippedCount, resumedStep: training.resumedStep, before: before,
      after: try Reconstruction(of: data.test, by: trained, key: key, workers: workers))
  }
}

/// Test points, encoded and decoded again.
public struct Reconstruction: Sendable {
  /// The decoded points, `[n, 2]`.
  public let points: Tensor
  /// The log-weight of each point's code.
  public let logWeight: Tensor
  /// The effective sample size over all points.
  public let ess: Float
  /// The log of the estimated evidence.
  public let logZ: Float

  /// - Throws: what the evaluation throws.
  init(of test: Tensor, by vae: VAE, key: PRNGKey, workers: Workers) throws {
    let plate = VAE.plate(test.shape[0])
    let options = EvaluationOptions(workers: workers, keep: .output)
    let result = try evaluate(vae.inference(plate), seed: key, options: options)(plate.mapped(test))
    points = result.output.values
    logWeight = result.metrics.logWeight
    ess = try result.metrics.ess.scalar
    logZ = try result.metrics.logZ.scalar
  }
}
