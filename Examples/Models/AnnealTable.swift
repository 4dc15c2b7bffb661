import Coix

/// Table 1 of Zimmermann, Wu, Esmaeili and van de Meent, "Nested variational inference", 2021: ways to train
/// an annealed sampler, for some numbers of targets. A step of training has 288 particles in all targets
/// together, and hidden layers are drawn as in the paper's program.
public struct AnnealTable: Sendable {
  /// The numbers of targets, a column each.
  public var targets = [2, 4, 6, 8]
  /// Steps of training.
  public var steps = 20_000
  /// How many times each sampler is trained, from seeds 0, 1, …
  public var restarts = 1

  /// The paper's settings, with a single restart.
  public init() {}

  /// A way to train a sampler: a row of the table.
  public struct Variant: Sendable {
    /// The paper's name.
    public let name: String
    let method: AnnealedSampler.Method
    let learnsPath: Bool
  }

  /// The rows.
  public static let variants = [
    Variant(name: "SVI", method: .svi, learnsPath: false),
    Variant(name: "AVO", method: .avo, learnsPath: false),
    Variant(name: "NVI", method: .nvi, learnsPath: false),
    Variant(name: "NVIR", method: .nvir, learnsPath: false),
    Variant(name: "NVI*", method: .nvi, learnsPath: true),
    Variant(name: "NVIR*", method: .nvir, learnsPath: true),
  ]

  /// The particles of a step of training, in all targets together.
  private static let budget = 288

  /// The experiment of a cell.
  func experiment(_ variant: Variant, targets: Int, seed: Int) -> AnnealExperiment {
    var experiment = AnnealExperiment()
    experiment.method = variant.method
    experiment.learnsPath = variant.learnsPath
    experiment.targets = targets
    experiment.hiddenLayers = .uniform
    experiment.particles = max(Self.budget / max(targets, 1), 1)
    experiment.steps = steps
    experiment.seed = seed
    experiment.evaluationParticles = 100
    return experiment
  }

  /// A row with its figures: means over the restarts, one for each number of targets.
  public struct Row: Sendable {
    /// The paper's name of the variant.
    public let name: String
    /// The log of the estimated evidence.
    public fileprivate(set) var logZ: [Float] = []
    /// The effective sample size of the last step's weights, of 100 particles.
    public fileprivate(set) var incrementalESS: [Float] = []
    /// The effective sample size of the weights of all steps together, of 100 particles.
    public fileprivate(set) var cumulativeESS: [Float] = []
  }

  /// Looks through the settings.
  ///
  /// - Throws: ``CoixError/argument(_:)`` for one outside of its domain.
  public func validate() throws {
    try require(restarts, in: 1...1_000, "number of restarts")
    for count in targets { try experiment(Self.variants[0], targets: count, seed: 0).validate() }
  }

  /// Trains and evaluates all samplers. `onRow` is called with each row when it is complete.
  ///
  /// - Throws: as ``validate()``, and ``AnnealExperiment/run(options:)``.
  public func run(options: TrainingOptions = TrainingOptions(), onRow: (Row) -> Void) throws {
    try validate()
    for variant in Self.variants {
      var row = Row(name: variant.name)
      for count in targets {
        let evaluations = try (0..<restarts).map { seed in
          try experiment(variant, targets: count, seed: seed).run(options: options).evaluation
        }
        func mean(_ figure: (AnnealEvaluation) -> Float) -> Float {
          evaluations.map(figure).reduce(0, +) / Float(restarts)
        }
        row.logZ.append(mean(\.logZ))
        row.incrementalESS.append(100 * mean(\.incrementalESS))
        row.cumulativeESS.append(100 * mean(\.cumulativeESS))
      }
      onRow(row)
    }
  }
}
