import Coix
import Testing

/// Metrics that a program does not compute say so, and what would.
@Suite struct MetricsTests {
  static let plate = Plate("particle", count: 20)
  static let kernel = Kernel { (trace: KernelTrace) in trace.sample("z", from: Normal(0, 1)) }
  static let model = Model { (trace: ModelTrace) in
    let z = trace.sample("z", from: Normal(0, 1))
    trace.observe("x", 1, from: Normal(z, 1))
    return z
  }

  static let noLoss = "metrics.loss: no objective was asked for; give propose one, loss: .elbo for example"
  static let noTarget =
    "metrics.logDensity: the program has no target whose density was computed; propose computes that of its target"
  static let noMemory = "metrics.memory: the program does not memoize"

  /// A loss that was forgotten is an error where its gradient is taken, not a gradient of 0.
  @Test func aForgottenLoss() throws {
    let run = {
      try valueWithGradient(at: Tensor(0.5)) { mean in
        let proposal = Kernel { (trace: KernelTrace) in trace.sample("z", from: Normal(mean, 1)) }
        return try evaluate(propose(Self.plate(Self.model), Self.plate(proposal)), seed: 1)().metrics.loss
      }
    }
    #expect(message { try run() } == Self.noLoss)
    try expectThatEvaluationsWork()
  }

  @Test func aProgramThatOnlyRuns() throws {
    let metrics = try evaluate(Self.plate(Self.model), seed: 1)().metrics
    #expect(metrics.logWeight.shape == [20])
    #expect(
      message { try metrics.ess }
        == "metrics.ess: the program neither proposes nor resamples; "
        + "effectiveSampleSize(metrics.logWeight) computes it of any weights")
    #expect(
      message { try metrics.logZ }
        == "metrics.logZ: the program neither proposes nor resamples; "
        + "logEvidence(metrics.logWeight) computes it of any weights")
    #expect(message { try metrics.logDensity } == Self.noTarget)
    #expect(message { try metrics.loss } == Self.noLoss)
    #expect(message { try metrics.memory } == Self.noMemory)
  }

  @Test func aProgramOutsideOfPlates() throws {
    let metrics = try evaluate(propose(Self.model, Self.kernel, loss: .elbo), seed: 1)().metrics
    for (name, metric) in [("ess", { try metrics.ess }), ("logZ", { try metrics.logZ })] {
      #expect(
        message { try metric() }
          == "metrics.\(name): there are no particles; put the program's kernels and models into a plate")
    }
    #expect(try metrics.loss.scalar.isFinite && metrics.logDensity.scalar.isFinite)
  }

  /// The evidence is that of all particles, the effective sample size that of the one that is left.
  @Test func aSingleParticle() throws {
    let weighted = propose(Self.plate(Self.model), Self.plate(Self.kernel))
    let metrics = try evaluate(resample(weighted, count: .one), seed: 1)().metrics
    #expect(
      message { try metrics.ess }
        == "metrics.ess: the particles were resampled to a single one, which has none")
    #expect(try metrics.logZ.scalar.isFinite)
  }

  /// What replays an evaluation has its metrics, and lacks what it lacks.
  @Test func aReplayedEvaluation() throws {
    let first = try evaluate(propose(Self.plate(Self.model), Self.plate(Self.kernel)), seed: 1)()
    let replay: Inference<Tuple<>, Tuple<Tensor>> = empirical(first)
    let metrics = try evaluate(replay, seed: 2)().metrics
    #expect(try metrics.ess.scalar == first.metrics.ess.scalar)
    #expect(message { try metrics.loss } == Self.noLoss)
  }
}
