import Coix
import ExampleModels
import Foundation
import Testing

/// A particle filter for a model whose evidence is known: the linear-Gaussian state-space model of Naesseth,
/// Linderman, Ranganath and Blei, "Variational sequential Monte Carlo", 2018, with T = 10, five states and
/// three observations.
@Suite struct StateSpaceTests {
  /// As the authors' code computes it.
  static let logEvidence = -46.89174359319463

  @Test func kalmanFilter() {
    #expect(abs(SSM.logEvidence - Self.logEvidence) < 1e-11)
    #expect(abs(SSM.kalmanFilter.denseLogEvidence(SSM.observations) - Self.logEvidence) < 1e-10)
    // One step by hand, and a model that is not symmetric in anything.
    let one = normalLogDensity(0.3, 0, (2.25 + 0.5).squareRoot())
    let simple = KalmanFilter(transition: Matrix([[0.5]]), emission: Matrix([[1.5]]), noise: 0.5)
    #expect(abs(simple.logEvidence([[0.3]]) - one) < 1e-14)
    let other = KalmanFilter(
      transition: Matrix([[0.5, -0.2], [0.9, 0.1]]), emission: Matrix([[1, 2], [0.3, -1], [0, 0.5]]),
      prior: 2, drift: 0.4, noise: 0.7)
    let data = [[0.1, 0.2, -1], [2, 0.5, 0], [-1, 1, 0.3], [0.5, 0.5, 0.5]]
    #expect(abs(other.logEvidence(data) - other.denseLogEvidence(data)) < 1e-12)
  }

  /// The bootstrap filter of Gordon, Salmond and Smith 1993: each step moves particles by the model and
  /// weights them by what it observes.
  ///
  /// Its log Z, of 16 runs side by side, is on average too low by half of its variance, which falls with the
  /// particles; standard deviations over runs are 6, 1.5 and 0.4 with 100, 1,000 and 10,000 particles. The
  /// bounds on the mean of 16 runs leave five of its standard deviations above and below that bias.
  @Test func bootstrapFilter() throws {
    func errors(_ count: Int) throws -> [Double] {
      let (particles, runs) = (Plate("particle", count: count), Plate("run", count: 16))
      var program: Inference<Tuple<>, Tuple<Tensor>> = resample(particles(runs(SSM.firstStep)))
      for step in 1..<10 {
        program = resample(compose(particles(runs(SSM.step(step))), program, suffix: false))
      }
      let result = try evaluate(program, seed: 4, options: EvaluationOptions(keep: .metrics))()
      return try Coix.logEvidence(result.metrics.logWeight).scalars.map { Double($0) - Self.logEvidence }
    }
    func mean(_ numbers: [Double]) -> Double { numbers.reduce(0, +) / Double(numbers.count) }
    #expect((-19..<(-2)).contains(mean(try errors(100))))
    #expect((-3.2..<0.8).contains(mean(try errors(1_000))))
    #expect((-0.8..<0.5).contains(mean(try errors(10_000))))
  }

  /// The same filter with the model's joint density as target and its transitions as proposals.
  ///
  /// One run's log Z with 10,000 particles has a standard deviation of 0.41 and a bias of -0.1: the bound is
  /// six of them.
  @Test func proposedFilter() throws {
    let plate = Plate("particle", count: 10_000)
    var program: Inference<Tuple<>, Tuple<Tensor>> = propose(
      plate(SSM.firstStep), plate(SSMProposals.bootstrap.firstStep))
    for step in 1..<10 {
      let move = plate(SSMProposals.bootstrap.step(step))
      program = propose(plate(SSM.targets[step]), compose(move, resample(program), suffix: false))
    }
    let options = EvaluationOptions(keep: .metrics, steps: true)
    let result = try evaluate(program, seed: 4, options: options)()
    let logZ = Double(try result.metrics.logZ.scalar)
    #expect(abs(logZ - Self.logEvidence) < 2.5)
    // Every step's evidence is that of the observations so far; the first's has a standard deviation of 0.08.
    #expect(result.steps.count == 19)
    let exact = SSM.kalmanFilter.logEvidence(Array(SSM.observations.prefix(1)))
    #expect(abs(Double(result.steps[0].logZ) - exact) < 0.4)
  }
}
