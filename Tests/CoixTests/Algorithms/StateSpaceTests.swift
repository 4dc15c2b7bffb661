import Coix
import Foundation
import TestSupport
import Testing

/// A particle filter for a model whose evidence is known: the linear-Gaussian state-space model of Naesseth,
/// Linderman, Ranganath and Blei, "Variational sequential Monte Carlo", 2018, with T = 10, five states and
/// three observations.
@Suite struct StateSpaceTests {
  /// A(i, j) = 0.42^(|i - j| + 1); the first three states are observed with variance 0.1.
  static let filter = KalmanFilter(
    transition: Matrix((0..<5).map { i in (0..<5).map { j in pow(0.42, Double(abs(i - j) + 1)) } }),
    emission: Matrix((0..<3).map { i in (0..<5).map { $0 == i ? 1 : 0 } }),
    noise: 0.1)

  /// The paper's data: numpy's `RandomState(0)`, `multivariate_normal` for a state and its observation in
  /// turn.
  static let observations: [[Double]] = [
    [1.455009945236675, 0.7006015461598132, 0.9308746322552129],
    [0.9133977529810924, 1.4269906448052667, 1.395570650085422],
    [2.510345046818137, 1.2751719984110075, 1.5898032302240732],
    [4.03504699798099, -0.20589266192052247, 1.3992807566987888],
    [1.0790555226491156, -1.2662015897134171, 0.5244211192436127],
    [-0.9916607392769914, -1.9264486893197954, -1.0227022314992753],
    [-2.615764579089916, -1.0154863981911164, -1.0946510139886303],
    [-1.216800325523844, -0.8926158337999788, -1.808737580073222],
    [-0.487927345713841, -0.8859952668943105, -2.3862971057482167],
    [0.3502388113353776, -2.361088959990642, -0.9328451718840294],
  ]

  /// As the authors' code computes it.
  static let logEvidence = -46.89174359319463

  @Test func kalmanFilter() {
    let filter = Self.filter
    #expect(abs(filter.logEvidence(Self.observations) - Self.logEvidence) < 1e-11)
    #expect(abs(filter.denseLogEvidence(Self.observations) - Self.logEvidence) < 1e-10)
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

  // MARK: As programs

  private static let transition = Tensor(
    filter.transition.values.flatMap { $0.map { Float($0) } }, shape: [5, 5])
  private static let initial = Normal(0, 1).expanded(to: [5]).event(1)

  /// The mean of a state given the one before.
  static func mean(_ x: Tensor) -> Tensor { matmul(transition, x) }

  private static func observe(_ trace: ModelTrace, _ step: Int, _ x: Tensor) {
    trace.observe(
      "y\(step)", Tensor(observations[step].map { Float($0) }),
      from: Normal(x.sliced(axis: 0, 0..<3), Tensor(Float(0.1.squareRoot()))).event(1))
  }

  private static let first = Model { (trace) in
    let x = trace.sample("x0", from: initial)
    observe(trace, 0, x)
    return x
  }
  private static func next(_ step: Int) -> Model<Tuple<Tensor>, Tuple<Tensor>> {
    Model { (trace, previous: Tensor) in
      let x = trace.sample("x\(step)", from: Normal(mean(previous), 1).event(1))
      observe(trace, step, x)
      return x
    }
  }

  /// The joint density of the states and observations up to each step; the output is the last of the states.
  static let joints: [Target<Tuple<>, Tuple<Tensor>>] = observations.indices.dropFirst().reduce(
    into: [Target(first)]
  ) { joints, step in
    joints.append(compose(next(step), joints[step - 1], suffix: false))
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
      var program: Inference<Tuple<>, Tuple<Tensor>> = resample(particles(runs(Self.first)))
      for step in 1..<10 {
        program = resample(compose(particles(runs(Self.next(step))), program, suffix: false))
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
    let guess = Kernel { (trace) in trace.sample("x0", from: Self.initial) }
    var program: Inference<Tuple<>, Tuple<Tensor>> = propose(plate(Self.first), plate(guess))
    for step in 1..<10 {
      let move = Kernel { (trace, previous: Tensor) in
        trace.sample("x\(step)", from: Normal(Self.mean(previous), 1).event(1))
      }
      program = propose(plate(Self.joints[step]), compose(plate(move), resample(program), suffix: false))
    }
    let options = EvaluationOptions(keep: .metrics, steps: true)
    let result = try evaluate(program, seed: 4, options: options)()
    let logZ = Double(try result.metrics.logZ.scalar)
    #expect(abs(logZ - Self.logEvidence) < 2.5)
    // Every step's evidence is that of the observations so far; the first's has a standard deviation of 0.08.
    #expect(result.steps.count == 19)
    let exact = Self.filter.logEvidence(Array(Self.observations.prefix(1)))
    #expect(abs(Double(result.steps[0].logZ) - exact) < 0.4)
  }
}
