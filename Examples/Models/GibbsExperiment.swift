import Coix

/// What an experiment needs to know of a mixture beyond its programs.
public protocol GibbsExperimentModel: GibbsMixture {
  /// The settings of coix's example, and others that take a minute or two: points of a training set, steps, and Adam's
  /// step size.
  static var published: (points: Int, steps: Int, learningRate: Float) { get }
  static var short: (points: Int, steps: Int, learningRate: Float) { get }
  /// Points of a test set, as in coix's example.
  static var testPoints: Int { get }

  /// A sampler with random networks.
  init(key: PRNGKey)
  /// Generated sets.
  ///
  /// - Throws: `CoixError.argument(_:)`, `CoixError.memory(what:bytes:)`.
  static func sets(_ count: Int, points: Int, key: PRNGKey) throws -> PointSets
}

/// Amortized population Gibbs sampling on generated sets of points: test sets are inferred, the proposals are
/// trained on other sets, and the test sets are inferred again.
public struct GibbsExperiment<Mixture: GibbsExperimentModel>: Sendable {
  /// Steps of training.
  public var steps = Mixture.short.steps
  /// Sets in a step's batch.
  public var batch = 20
  /// Particles of a set.
  public var particles = 10
  /// Sweeps after the first proposals.
  public var sweeps = 5
  /// Adam's step size.
  public var learningRate = Mixture.short.learningRate
  /// Sets to train on.
  public var trainCount = 20_000
  /// Points of a set to train on.
  public var points = Mixture.short.points
  /// Sets to test with, each with as many points as in coix's example.
  public var testCount = 20
  /// What data, parameters, batches and variables are drawn from.
  public var seed = 0

  /// The settings of coix's example, or the same but for a short training.
  public init(full: Bool = false) {
    if full { (points, steps, learningRate) = Mixture.published }
  }

  /// Looks through the settings.
  ///
  /// - Throws: `CoixError.argument(_:)` for one outside of its domain.
  public func validate() throws {
    let most = Int(Int32.max)
    try require(steps, in: 1...most, "number of steps")
    try require(batch, in: 1...most, "batch size")
    try require(particles, in: 1...most, "number of particles")
    try require(sweeps, in: 0...most, "number of sweeps")
    try require(trainCount, in: 1...most, "number of training sets")
    try require(points, in: 1...most, "number of points")
    try require(testCount, in: 1...most, "number of test sets")
    guard learningRate > 0, learningRate.isFinite else {
      throw CoixError.argument("the learning rate must be positive and finite, is \(learningRate)")
    }
  }

  /// Runs the experiment.
  ///
  /// - Throws: as ``validate()``; what evaluations throw; ``Interrupted``.
  public func run(options: TrainingOptions = TrainingOptions()) throws -> GibbsResults<Mixture> {
    try validate()
    let workers = options.workers
    let keys = PRNGKey(seed: seed).split(into: 5)
    let sets = try Mixture.sets(trainCount, points: points, key: keys[0])
    let test = try Mixture.sets(testCount, points: Mixture.testPoints, key: keys[1])
    func infer(_ mixture: Mixture) throws -> GibbsInference {
      try GibbsInference(
        of: test, by: mixture, particles: particles, sweeps: sweeps, key: keys[2], workers: workers)
    }
    let initial = Mixture(key: keys[3])
    let before = try infer(initial)
    var options = options
    options.settings.merge([
      "batch": "\(batch)", "particles": "\(particles)", "sweeps": "\(sweeps)",
      "learning-rate": "\(learningRate)", "train": "\(trainCount)", "points": "\(points)",
    ]) { $1 }
    var losses: [Float] = []
    let training = try train(
      initial, by: Adam(for: initial, learningRate: .constant(learningRate)),
      on: Batches(of: sets.points, size: batch, last: .dropped), steps: steps, seed: keys[4],
      options: options,
      onStep: { losses.append($0.loss) },
      loss: { [particles, sweeps] mixture, batch, key in
        try mixture.loss(of: batch, particles: particles, sweeps: sweeps, key: key, workers: workers)
      }
    ).uninterrupted()
    return GibbsResults(
      experiment: self, test: test, losses: losses, mixture: training.parameters,
      skippedCount: training.optimizer.skippedCount, secondsPerStep: training.secondsPerStep,
      resumedStep: training.resumedStep, before: before,
      after: try infer(training.parameters))
  }
}

extension GibbsMixture {
  /// The loss of a batch of sets, `[sets, points, 2]`, for each set.
  ///
  /// - Throws: what the evaluation throws.
  public func loss(
    of batch: Tensor, particles: Int, sweeps: Int, key: PRNGKey, workers: Workers = .standard
  ) throws -> Tensor {
    let (particles, sets) = (Plate("particle", count: particles), Plate("set", count: batch.shape[0]))
    let options = EvaluationOptions(workers: workers, keep: .metrics)
    let program = try inference(particles: particles, sets: sets, sweeps: sweeps)
    let result = try evaluate(program, seed: key, options: options)(sets.mapped(batch))
    return try result.metrics.loss / Float(batch.shape[0])
  }
}

/// Test sets, inferred.
public struct GibbsInference: Sendable {
  /// The log joint density of variables and points after 0, 1, 2, … sweeps: the mean over particles and sets.
  public let logDensity: [Float]
  /// For each set one particle's variables after all sweeps, drawn by its weight: `[sets, …]` by the names of the
  /// sites.
  public let variables: [String: Tensor]
  /// The share of points whose cluster was found; see ``PointSets/accuracy(of:clusterCount:)``.
  public let accuracy: Float

  /// - Throws: what the evaluations throw.
  init<Mixture: GibbsMixture>(
    of test: PointSets, by mixture: Mixture, particles: Int, sweeps: Int, key: PRNGKey, workers: Workers
  ) throws {
    let count = test.points.shape[0]
    let (particles, sets) = (Plate("particle", count: particles), Plate("set", count: count))
    func sampler(_ sweeps: Int) throws -> Inference<Tuple<Tensor>, Mixture.State> {
      try mixture.inference(particles: particles, sets: sets, sweeps: sweeps)
    }
    // Each sweep has its own key, so that a run of fewer sweeps is the beginning of a longer one.
    let options = EvaluationOptions(workers: workers, keep: .metrics)
    logDensity = try (0...sweeps).map { sweeps in
      let result = try evaluate(sampler(sweeps), seed: key, options: options)(sets.mapped(test.points))
      return try result.metrics.logDensity.scalar / Float(count)
    }
    let drawn = try evaluate(
      resample(sampler(sweeps), count: .one), seed: key, options: EvaluationOptions(workers: workers))(
        sets.mapped(test.points))
    variables = Dictionary(
      uniqueKeysWithValues: drawn.trace.sites.filter { !$0.isObserved }.map { ($0.name, $0.value) })
    accuracy = variables["c"].map { test.accuracy(of: $0, clusterCount: Mixture.clusterCount) } ?? 0
  }
}
