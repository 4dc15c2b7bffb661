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
  /// `onStep` is called after each step of training with its number, its loss, and how many updates have been
  /// skipped so far.
  ///
  /// - Throws: as ``validate()``; what evaluations throw.
  public func run(
    on data: PointData, workers: Workers = .standard,
    onStep: (_ step: Int, _ loss: Float, _ skippedCount: Int) -> Void = { _, _, _ in }
  ) throws -> VAEResults {
    try validate()
    let key = PRNGKey(seed: seed)
    let initial = VAE(hidden: hidden, key: key)
    let before = try Reconstruction(of: data.test, by: initial, key: key, workers: workers)
    let training = VAETraining(
      initial, data: data.train, batch: batch, learningRate: learningRate, key: key, workers: workers)
    var losses: [Float] = []
    for step in 0..<steps {
      losses.append(try training.advance())
      onStep(step, losses[step], try training.optimizer.skippedCount)
    }
    let trained = try training.vae
    let after = try Reconstruction(of: data.test, by: trained, key: key, workers: workers)
    return VAEResults(
      experiment: self, data: data, losses: losses, vae: trained,
      skippedCount: try training.optimizer.skippedCount, before: before, after: after)
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
