import Coix
import Foundation

/// A state-space model whose evidence is known, and particle filters for it with proposals that learn: the
/// example of Naesseth, Linderman, Ranganath and Blei, "Variational sequential Monte Carlo", 2018.
///
/// There are five states, of which the first three are observed, at ten times:
///
/// x(0) ~ Normal(0, I), x(t) ~ Normal(A x(t-1), I), y(t) ~ Normal(C x(t), 0.1 I)
///
/// with A(i, j) = 0.42^(|i - j| + 1) and C = [I 0].
public enum SSM {
  /// The model in double, with the exact answers.
  package static let kalmanFilter = KalmanFilter(
    transition: Matrix((0..<5).map { i in (0..<5).map { j in pow(0.42, Double(abs(i - j) + 1)) } }),
    emission: Matrix((0..<3).map { i in (0..<5).map { $0 == i ? 1 : 0 } }),
    noise: 0.1)

  /// The authors' data: NumPy's `RandomState(0)`, `multivariate_normal` for a state and its observation in
  /// turn.
  public static let observations: [[Double]] = [
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

  /// log p(y), by the Kalman filter.
  public static let logEvidence = kalmanFilter.logEvidence(observations)

  private static let transition = Tensor(
    kalmanFilter.transition.values.flatMap { $0.map { Float($0) } }, shape: [5, 5])

  /// The mean of a state given the one before.
  public static func mean(after x: Tensor) -> Tensor { matmul(transition, x) }

  /// The state and its observation at a time, given the state before.
  public static func step(_ time: Int) -> Model<Tuple<Tensor>, Tuple<Tensor>> {
    Model { (trace, previous: Tensor) in
      let x = trace.sample("x\(time)", from: Normal(mean(after: previous), 1).event(1))
      observe(trace, time, x)
      return x
    }
  }

  /// The first state and its observation.
  public static let firstStep = Model { (trace) in
    let x = trace.sample("x0", from: Normal(0, 1).expanded(to: [5]).event(1))
    observe(trace, 0, x)
    return x
  }

  private static func observe(_ trace: ModelTrace, _ time: Int, _ x: Tensor) {
    let scale = Tensor(Float(kalmanFilter.noise.squareRoot()))
    trace.observe(
      "y\(time)", Tensor(observations[time].map { Float($0) }),
      from: Normal(x.sliced(axis: 0, 0..<3), scale).event(1))
  }

  /// The joint density of states and observations up to each time; the output is the last of the states.
  public static let targets: [Target<Tuple<>, Tuple<Tensor>>] = observations.indices.dropFirst().reduce(
    into: [Target(firstStep)]
  ) { targets, time in
    targets.append(compose(step(time), targets[time - 1], suffix: false))
  }
}

/// The proposals of a particle filter for ``SSM``: those of the authors.
///
/// x(t) ~ Normal(offset(t) + slope(t) A x(t-1), exp(log variance(t))), each by state.
public struct SSMProposals: TensorTree {
  /// `[times, states]`, as the others.
  public var offsets: Tensor
  public var slopes: Tensor
  public var logVariances: Tensor

  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("offsets", &offsets)
    try visitor.visit("slopes", &slopes)
    try visitor.visit("logVariances", &logVariances)
  }

  /// The model's own transitions, with which the filter is the bootstrap filter of Gordon, Salmond and Smith,
  /// 1993.
  public static let bootstrap: SSMProposals = {
    let shape: Shape = [SSM.observations.count, SSM.kalmanFilter.transition.rows]
    return SSMProposals(offsets: .zeros(shape), slopes: .ones(shape), logVariances: .zeros(shape))
  }()

  /// The distributions of a state given the one before and its observation. They are among these proposals
  /// since an observation is of one state each, so that the states are independent.
  public static let locallyOptimal: SSMProposals = {
    let (model, times) = (SSM.kalmanFilter, SSM.observations.count)
    let gain = (1 / model.noise) * model.emission.transposed
    let covariance = (gain * model.emission + .identity(model.transition.rows)).inverse
    let variances = Tensor(covariance.values.indices.map { Float(covariance[$0, $0]) })
    let offsets = SSM.observations.flatMap { observation in
      (covariance * gain * Matrix(observation.map { [$0] })).values.map { Float($0[0]) }
    }
    let slopes = variances.broadcast(to: [times, covariance.rows])
    return SSMProposals(
      offsets: Tensor(offsets, shape: slopes.shape), slopes: slopes, logVariances: log(slopes))
  }()

  /// The distribution of the state at a time, whose mean in the model is `mean`.
  private func distribution(_ time: Int, _ mean: Tensor) -> some Distribution {
    Normal(offsets[time] + slopes[time] * mean, exp(0.5 * logVariances[time])).event(1)
  }

  /// The proposal for a state, given the one before.
  public func step(_ time: Int) -> Kernel<Tuple<Tensor>, Tuple<Tensor>> {
    Kernel { (trace, previous: Tensor) in
      trace.sample("x\(time)", from: distribution(time, SSM.mean(after: previous)))
    }
  }

  /// The proposal for the first state.
  public var firstStep: Kernel<Tuple<>, Tuple<Tensor>> {
    Kernel { (trace) in
      trace.sample("x0", from: distribution(0, .zeros([SSM.kalmanFilter.transition.rows])))
    }
  }
}

/// How proposals learn.
public enum SSMObjective: String, CaseIterable, Codable, Sendable {
  /// Naesseth et al., 2018: to raise the evidence that the filter estimates.
  case vsmc
  /// Gu, Ghahramani and Turner, "Neural adaptive sequential Monte Carlo", 2015: to be near the posterior that the
  /// weighted particles stand for.
  case nasmc
}

extension SSMProposals {
  /// The particle filter with these proposals, and the loss that they learn by. Runs are side by side, each with
  /// particles of its own.
  ///
  /// - Throws: what `vsmc` and `nasmc` throw, which is nothing here.
  public func filter(
    _ objective: SSMObjective = .vsmc, particles count: Int, runs: Int = 1, chunkRows: Int? = nil
  ) throws -> Inference<Tuple<>, Tuple<Tensor>> {
    let particles = Plate("particle", count: count, chunkRows: chunkRows)
    let run = Plate("run", count: runs)
    @Sendable func target(_ time: Int) -> Target<Tuple<>, Tuple<Tensor>> { particles(run(SSM.targets[time])) }
    @Sendable func proposal(_ time: Int) -> Kernel<Tuple<Tensor>, Tuple<Tensor>> {
      particles(run(step(time)))
    }
    let (times, initial) = (SSM.targets.count, particles(run(firstStep)))
    return switch objective {
    case .vsmc: try vsmc(count: times, target: target, initial: initial, proposal: proposal)
    case .nasmc: try nasmc(count: times, target: target, initial: initial, proposal: proposal)
    }
  }
}
