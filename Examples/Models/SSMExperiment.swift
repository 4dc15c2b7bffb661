import Coix
import Foundation

/// The paper's experiment: proposals are trained with few particles, and the evidence that filters with them
/// estimate is compared with that of the Kalman filter.
public struct SSMExperiment: Sendable {
  /// Steps of each training.
  public var steps = 1_000
  /// Particles of the filter that is trained with.
  public var particles = 4
  /// Adam's step size.
  public var learningRate: Float = 1e-2
  /// The runs that an estimate is the mean of.
  public var runs = 100
  /// What all draws come from.
  public var seed = 0

  /// The particles of the filters that are compared.
  public static let particleCounts = [4, 16, 64, 256]

  /// Settings for a short run.
  public init() {}

  /// The settings of the published results.
  public static let published: SSMExperiment = {
    var experiment = SSMExperiment()
    (experiment.steps, experiment.runs) = (2_500, 300)
    return experiment
  }()

  /// Looks through the settings.
  ///
  /// - Throws: ``CoixError/argument(_:)`` for one outside of its domain.
  public func validate() throws {
    try require(steps, in: 1...Int(Int32.max), "number of steps")
    try require(particles, in: 1...1_000_000, "number of particles")
    // The standard error of one run is not known.
    try require(runs, in: 2...100_000, "number of runs")
    guard learningRate > 0, learningRate.isFinite else {
      throw CoixError.argument("the learning rate must be positive and finite, is \(learningRate)")
    }
  }

  /// Runs the experiment.
  ///
  /// Each training has its own checkpoint and its own file of metrics: `checkpoint.safetensors` stands for
  /// `checkpoint-vsmc.safetensors` and `checkpoint-nasmc.safetensors`.
  ///
  /// - Throws: as ``validate()``; what evaluations throw; ``Interrupted``.
  public func run(options: TrainingOptions = TrainingOptions()) throws -> SSMResults {
    try validate()
    func estimates(_ name: String, _ proposals: SSMProposals) throws -> [SSMEstimate] {
      try Self.particleCounts.map { count in
        try SSMEstimate(
          proposals: name, of: logZ(proposals, particles: count, options.workers), particles: count)
      }
    }
    // Before training, so that what does not fit into memory is refused then.
    let bootstrap = try estimates("bootstrap", .bootstrap)
    let trainings = try SSMObjective.allCases.map { try train($0, options) }
    let trained = try trainings.flatMap { try estimates($0.objective.rawValue, $0.proposals) }
    return SSMResults(
      experiment: self, trainings: trainings,
      estimates: try bootstrap + trained + estimates("locallyOptimal", .locallyOptimal))
  }

  /// Draws for training and for estimates don't have a key in common.
  private var keys: (training: PRNGKey, estimates: PRNGKey) {
    let (training, estimates) = PRNGKey(seed: seed).split()
    return (training, estimates)
  }

  private func train(_ objective: SSMObjective, _ options: TrainingOptions) throws -> SSMTraining {
    var options = options
    options.checkpoint = options.checkpoint.map { $0.inserting("-\(objective.rawValue)") }
    options.metrics = options.metrics.map { $0.inserting("-\(objective.rawValue)") }
    options.evaluateEvery = max(steps / 50, 1)
    options.settings.merge([
      "objective": objective.rawValue, "particles": "\(particles)", "learning-rate": "\(learningRate)",
    ]) { $1 }
    let workers = options.workers
    let evaluation = EvaluationOptions(workers: workers, keep: .metrics)
    var curve: [SSMTraining.Point] = []
    func bound(_ proposals: SSMProposals) throws -> Float {
      let estimate = try SSMEstimate(
        proposals: "", of: logZ(proposals, particles: particles, workers), particles: particles)
      return Float(-estimate.logZ)
    }
    let start = SSMProposals.bootstrap
    let result = try Coix.train(
      start, by: Adam(for: start, learningRate: .constant(learningRate)), steps: steps, seed: keys.training,
      options: options, evaluate: bound,
      onStep: { step in if let bound = step.evaluation { curve.append((step.step, -bound)) } },
      loss: { proposals, key in
        let filter = try proposals.filter(objective, particles: particles)
        return try evaluate(filter, seed: key, options: evaluation)().metrics.loss
      }
    ).uninterrupted()
    return SSMTraining(
      objective: objective, proposals: result.parameters, curve: curve,
      skippedCount: result.optimizer.skippedCount, secondsPerStep: result.secondsPerStep,
      resumedStep: result.resumedStep)
  }

  /// log Ẑ of each run of a filter.
  private func logZ(_ proposals: SSMProposals, particles: Int, _ workers: Workers) throws -> [Float] {
    let filter = try proposals.filter(particles: particles, runs: runs)
    let options = EvaluationOptions(workers: workers, keep: .metrics)
    let weights = try evaluate(filter, seed: keys.estimates, options: options)().metrics.logWeight
    return try logEvidence(weights).scalars
  }
}

extension String {
  /// The path with something before its last part's extension.
  fileprivate func inserting(_ text: String) -> String {
    let name = lastIndex(of: "/").map { self[index(after: $0)...] } ?? self[...]
    guard let dot = name.lastIndex(of: "."), dot > name.startIndex else { return self + text }
    return String(self[..<dot]) + text + self[dot...]
  }
}
