import Coix

/// How good an annealed sampler's weighted particles are: means over some runs of many particles each.
public struct AnnealEvaluation: Sendable {
  /// The log of the estimated evidence.
  public let logZ: Float
  /// The effective sample size of the weights that the last step added, as a fraction of the particles.
  public let incrementalESS: Float
  /// The effective sample size of the weights of all steps together, when there is no resampling, as a
  /// fraction of the particles.
  public let cumulativeESS: Float
  /// The effective sample size of the particles as they come out: with resampling the weights are those of
  /// the last step.
  public let ess: Float

  /// Evaluates a sampler under keys that are split from key 1, as the reference does.
  ///
  /// - Parameters:
  ///   - resamples: whether particles are resampled before each step, other than for ``cumulativeESS``.
  ///   - runs: the number of runs, at least 1.
  ///   - particles: the particles of each run.
  /// - Throws: what evaluations throw.
  public init(
    of sampler: AnnealedSampler, resamples: Bool, runs: Int, particles: Int, workers: Workers = .standard
  ) throws {
    let plate = Plate("particle", count: particles)
    let options = EvaluationOptions(workers: workers, keep: .metrics, steps: true)
    let keys = PRNGKey(seed: 1).split(into: runs)
    func mean(resamples: Bool) throws -> (logZ: Float, ess: Float, incrementalESS: Float) {
      var sums: (logZ: Double, ess: Double, incrementalESS: Double) = (0, 0, 0)
      for key in keys {
        let run = try evaluate(sampler.inference(plate, resamples: resamples), seed: key, options: options)()
        sums.logZ += Double(try run.metrics.logZ.scalar)
        sums.ess += Double(try run.metrics.ess.scalar)
        sums.incrementalESS += Double(run.steps.last?.incrementalESS ?? .nan)
      }
      let count = Double(runs)
      let total = count * Double(particles)
      return (Float(sums.logZ / count), Float(sums.ess / total), Float(sums.incrementalESS / total))
    }
    let own = try mean(resamples: resamples)
    (logZ, ess, incrementalESS) = own
    cumulativeESS = resamples ? try mean(resamples: false).ess : own.ess
  }
}
