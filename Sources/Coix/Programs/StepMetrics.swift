import CoixParallel

/// What a step did to the particles' weights: one ``propose(_:_:loss:detach:)`` or
/// ``resample(_:count:scheme:when:)``.
public struct StepMetrics: Hashable, Sendable {
  /// The combinator.
  public enum Kind: String, Hashable, Sendable {
    case propose, resample
  }

  /// The combinator.
  public let kind: Kind
  /// Which of the evaluation's steps of this kind it was, from 1.
  public let number: Int
  /// In which walk through the particles it ran, counted from 1. This is the stage that error messages name.
  public let stage: Int
  /// The effective sample size of the weights that the step itself added, mean over instances; nil for a
  /// resampling, which adds none.
  public let incrementalESS: Float?
  /// The effective sample size after the step, mean over instances; nil after ``ParticleCount/one``.
  public let ess: Float?
  /// The log of the estimated evidence after the step, summed over instances.
  public let logZ: Float

  /// "propose 2", say.
  public var name: String { "\(kind.rawValue) \(number)" }
}

extension StepMetrics: CustomStringConvertible {
  public var description: String {
    let incremental = incrementalESS.map { ", incremental \($0.withoutSignOfNaN)" } ?? ""
    let ess = ess.map { "\($0.withoutSignOfNaN)" } ?? "none"
    return "\(name): ESS \(ess)\(incremental), log Z \(logZ.withoutSignOfNaN)"
  }
}

/// A step's report while the evaluation runs.
enum RunningStep {
  /// A proposal whose weights wait for all particles.
  case pending(_ number: Int, logWeight: Tensor, incremental: Tensor)
  case done(StepMetrics)

  /// The report, if it is complete.
  var metrics: StepMetrics? { if case .done(let metrics) = self { metrics } else { nil } }

  /// Visits the weights of a step that waits for the barrier.
  mutating func visitPending(_ body: (inout Tensor) throws -> Void) rethrows {
    guard case .pending(let number, var logWeight, var incremental) = self else { return }
    try body(&logWeight)
    try body(&incremental)
    self = .pending(number, logWeight: logWeight, incremental: incremental)
  }

  /// Computes what waited for all particles.
  mutating func resolve(_ barrier: BarrierContext) throws {
    guard case .pending(let number, let logWeight, let incremental) = self else { return }
    func summary(_ weights: Tensor) throws -> WeightSummary {
      try barrier.population.logWeights(weights.detached).summary()
    }
    let cumulative = try summary(logWeight)
    self = .done(
      StepMetrics(
        kind: .propose, number: number, stage: barrier.stage,
        incrementalESS: try summary(incremental).ess.scalar, ess: cumulative.ess.scalar,
        logZ: cumulative.logZ.scalar))
  }
}
