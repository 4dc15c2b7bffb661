import Coix
import Foundation
import Testing

/// Simulation-based calibration: with θ drawn from the prior and data from the model, θ's rank among L
/// posterior draws is uniform on 0...L. Talts, Betancourt, Simpson, Vehtari and Gelman, "Validating Bayesian
/// inference algorithms with simulation-based calibration", 2018.
///
/// θ ~ Normal(0, 1) and two x ~ Normal(θ, 0.7). The 16 ranks of 4,000 simulations, each an instance, are
/// compared with equal frequencies by a χ² of 15 degrees of freedom, which exceeds 56.5 with probability
/// 1e-6.
@Suite struct CalibrationTests {
  private static let simulations = Plate("simulation", count: 4_000)
  private static let draws = 15

  private static let model = Model { (trace, x: Tensor) in
    let theta = trace.sample("theta", from: Normal(0, 1))
    trace.observe("x", x, from: Normal(theta, 0.7).expanded(to: [2]).event(1))
    return theta
  }
  private static let prior = Kernel { (trace, _: Tensor) in trace.sample("theta", from: Normal(0, 1)) }

  /// χ² of the ranks against equal frequencies.
  private func statistic(
    _ posterior: some InferenceProgram<Tuple<Tensor>, Tuple<Tensor>>, seed: PRNGKey
  ) throws -> Double {
    let generator = Kernel { (trace) in
      let theta = trace.sample("theta", from: Normal(0, 1))
      return (theta, trace.sample("x", from: Normal(theta, 0.7).expanded(to: [2]).event(1)))
    }
    let (theta, x) = try evaluate(Self.simulations(generator), seed: seed)().output.values
    let result = try evaluate(posterior, seed: seed.folded(in: 1))(Self.simulations.mapped(x)).output.values
    let (truth, posteriorDraws) = (theta.scalars, result.scalars)
    let count = Self.simulations.count
    try #require(posteriorDraws.count == Self.draws * count)
    var frequencies = [Double](repeating: 0, count: Self.draws + 1)
    for simulation in 0..<count {
      frequencies[
        (0..<Self.draws).count { posteriorDraws[$0 * count + simulation] < truth[simulation] }] += 1
    }
    let expected = Double(count) / Double(Self.draws + 1)
    return frequencies.reduce(0) { $0 + ($1 - expected) * ($1 - expected) / expected }
  }

  /// The exact posterior, with a wrong scale if asked for.
  private static func conjugate(_ factor: Float) -> Kernel<Tuple<Tensor>, Tuple<Tensor>> {
    let precision: Float = 1 + 2 / 0.49
    return Kernel { (trace, x: Tensor) in
      trace.sample(
        "theta", from: Normal(x.sum() / (0.49 * precision), Tensor(factor / precision.squareRoot())))
    }
  }

  /// The statistic is uniform for the exact posterior, and sees one that is too narrow by 15 %.
  @Test func exactPosterior() throws {
    let plate = Plate("draw", count: Self.draws)
    #expect(try statistic(plate(Self.simulations(Self.conjugate(1))), seed: 1) < 56.5)
    #expect(try statistic(plate(Self.simulations(Self.conjugate(0.85))), seed: 1) > 56.5)
  }

  /// Importance sampling from the prior; with 400 particles its own bias, of order 1/400, is too small to be
  /// seen.
  @Test func proposedAndResampled() throws {
    let plate = Plate("particle", count: 400)
    let proposed = propose(plate(Self.simulations(Self.model)), plate(Self.simulations(Self.prior)))
    let posterior = resample(proposed, count: .exactly(Self.draws), scheme: .multinomial)
    #expect(try statistic(posterior, seed: 2) < 56.5)
  }
}
