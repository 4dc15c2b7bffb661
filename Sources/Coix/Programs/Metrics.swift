import CoixParallel

/// What a program's run computed about itself.
///
/// Asking for a metric that the program does not compute is an error, `CoixError.metric(name:reason:)`, which
/// says what computes it.
public struct Metrics: Sendable {
  /// The log-weight of each particle, `[particles, instances…]`.
  public let logWeight: Tensor
  /// Everything computed, for a program that replays the run.
  let running: RunningMetrics
  /// Why weights have no effective sample size and no evidence, where they have none.
  private let withoutSummary: WithoutSummary

  /// Why there is no effective sample size, or no evidence.
  enum WithoutSummary {
    /// The program stands in no plate.
    case noPlate
    /// The particles were resampled to a single one.
    case singleParticle
    /// The program neither proposes nor resamples.
    case notAskedFor
  }

  /// What an evaluation has computed by its end.
  init(_ running: RunningMetrics, logWeight: Tensor, withoutSummary: WithoutSummary) {
    self.logWeight = logWeight
    var running = running
    // Steps are told by the evaluation, and terms of weights are of no more use.
    (running.steps, running.weightTerms) = ([], [])
    self.running = running
    self.withoutSummary = withoutSummary
  }

  /// The effective sample size, 1 / Σ softmax(w)², the mean over instances.
  ///
  /// - Throws: `CoixError.metric(name:reason:)` outside of plates, without a ``propose(_:_:loss:detach:)`` or
  ///   ``resample(_:count:scheme:when:)``, and where the particles were resampled to ``ParticleCount/one``.
  public var ess: Tensor {
    get throws { try computed(running.ess?.tensor, "ess", reasonWithoutSummary("effectiveSampleSize")) }
  }

  /// The log of the estimated evidence, summed over instances.
  ///
  /// - Throws: `CoixError.metric(name:reason:)` outside of plates, without a ``propose(_:_:loss:detach:)`` or
  ///   ``resample(_:count:scheme:when:)``, and where the weights of single particles (``ParticleCount/one``)
  ///   have changed after the resampling.
  public var logZ: Tensor {
    get throws { try computed(running.logZ?.tensor, "logZ", reasonWithoutSummary("logEvidence")) }
  }

  /// The log-density of the target, mean over particles, summed over instances.
  ///
  /// - Throws: `CoixError.metric(name:reason:)` without a ``propose(_:_:loss:detach:)``, whose target it is.
  public var logDensity: Tensor {
    get throws {
      try computed(
        running.logDensity?.tensor, "logDensity",
        "the program has no target whose density was computed; propose computes that of its target")
    }
  }

  /// The loss.
  ///
  /// - Throws: `CoixError.metric(name:reason:)` if no objective was asked for.
  public var loss: Tensor {
    get throws {
      try computed(
        running.loss, "loss", "no objective was asked for; give propose one, loss: .elbo for example")
    }
  }

  /// The latent values that ``memoize(_:_:memory:size:)`` has kept, `[samples, instances…, event…]` by site.
  ///
  /// - Throws: `CoixError.metric(name:reason:)` without a `memoize`.
  public var memory: [String: Tensor] {
    get throws { try computed(running.memory, "memory", "the program does not memoize") }
  }

  private func computed<Value>(_ value: Value?, _ name: String, _ reason: @autoclosure () -> String) throws
    -> Value
  {
    guard let value else { throw CoixError.metric(name: name, reason: reason()) }
    return value
  }

  /// - Parameter function: what computes the metric of any weights.
  private func reasonWithoutSummary(_ function: String) -> String {
    switch withoutSummary {
    case .noPlate: "there are no particles; put the program's kernels and models into a plate"
    case .singleParticle: "the particles were resampled to a single one, which has none"
    case .notAskedFor:
      "the program neither proposes nor resamples; \(function)(metrics.logWeight) computes it of any weights"
    }
  }
}
