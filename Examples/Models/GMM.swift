import Coix

/// Gaussian mixtures: sets of points in the plane, each from one of three clusters.
///
/// For each cluster and coordinate a precision τ ~ Gamma(2, 2) and a mean μ ~ Normal(0, 1/√(0.1 τ)); for each
/// point a cluster c, all equally likely, and x ~ Normal(μ, 1/√τ) with the mean and the precision of its cluster.
///
/// Wu, Zimmermann, Sennesh, Le and van de Meent, "Amortized population Gibbs samplers with neural sufficient
/// statistics", 2020, sections 6.2 and F.1. The networks are those of coix's example, and their parameters have
/// its names.
public struct GMM: GibbsMixture {
  public static let clusterCount = 3

  /// From points to precisions and means.
  public var initialComponents: ComponentEncoder
  /// From points and their clusters to precisions and means.
  public var components: ComponentEncoder
  /// From a point and a cluster's mean and precision to the logit of the point's being in that cluster.
  public var cluster: MLP

  /// A sampler with random networks.
  public init(key: PRNGKey) {
    let keys = key.split(into: 3)
    initialComponents = ComponentEncoder(inputs: 2, key: keys[0])
    components = ComponentEncoder(inputs: 2 + Self.clusterCount, key: keys[1])
    cluster = MLP(sizes: [6, 32, 1], activation: .tanh, key: keys[2])
  }

  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("encode_initial_mean_tau", &initialComponents)
    try visitor.visit("encode_mean_tau", &components)
    try visitor.visit("encode_c", &cluster)
  }

  /// Points `[points, 2]`, means and precisions `[clusters, 2]`, and each point's cluster `[points]`.
  public typealias State = Tuple<Tensor, Tensor, Tensor, Tensor>
  /// Points, means and precisions.
  public typealias FirstState = Tuple<Tensor, Tensor, Tensor>

  public var target: Model<Tuple<Tensor>, State> {
    Model { (trace, x: Tensor) -> (Tensor, Tensor, Tensor, Tensor) in
      let shape: Shape = [Self.clusterCount, 2]
      let tau = trace.sample("tau", from: Gamma(2, 2).expanded(to: shape).event(2))
      let mean = trace.sample("mean", from: Normal(0, 1 / sqrt(0.1 * tau)).event(2))
      let points = trace.plate("point", x.shape[0])
      let c = points.sample("c", from: Categorical(logits: .zeros([Self.clusterCount])))
      let assignment = c.oneHot(depth: Self.clusterCount)
      let scale = 1 / sqrt(matmul(assignment, tau))
      points.observe("x", x, from: Normal(matmul(assignment, mean), scale).event(1))
      return (x, mean, tau, c)
    }
  }

  public var firstParameters: Kernel<Tuple<Tensor>, FirstState> {
    Kernel { [initialComponents] (trace, x: Tensor) -> (Tensor, Tensor, Tensor) in
      let (mean, tau) = initialComponents(x).sample(trace)
      return (x, mean, tau)
    }
  }

  public var firstClusters: Kernel<FirstState, State> {
    Kernel { [self] (trace, x: Tensor, mean: Tensor, tau: Tensor) -> (Tensor, Tensor, Tensor, Tensor) in
      (x, mean, tau, sampleClusters(trace, x, mean, tau))
    }
  }

  public var kernels: [Kernel<State, State>] {
    let newComponents: Kernel<State, State> = Kernel {
      [components] (trace, x: Tensor, _: Tensor, _: Tensor, c: Tensor) -> (Tensor, Tensor, Tensor, Tensor) in
      let known = Tensor.concatenate([x, c.oneHot(depth: Self.clusterCount)], axis: -1)
      let (mean, tau) = components(known).sample(trace)
      return (x, mean, tau, c)
    }
    let newClusters: Kernel<State, State> = Kernel {
      [self] (trace, x: Tensor, mean: Tensor, tau: Tensor, _: Tensor) -> (Tensor, Tensor, Tensor, Tensor) in
      (x, mean, tau, sampleClusters(trace, x, mean, tau))
    }
    return [newComponents, newClusters]
  }

  /// Each point's cluster, by what the network makes of the point and each cluster's mean and precision.
  private func sampleClusters(_ trace: KernelTrace, _ x: Tensor, _ mean: Tensor, _ tau: Tensor) -> Tensor {
    let shape: Shape = [x.shape[0], Self.clusterCount, 2]
    let pairs = [x.expandingAxis(at: 1), mean, tau].map { $0.broadcast(to: shape) }
    let logits = cluster(Tensor.concatenate(pairs, axis: -1)).squeezingAxis(at: -1)
    return trace.plate("point", x.shape[0]).sample("c", from: Categorical(logits: logits))
  }
}

/// From a set's points, and what is known of each, to a distribution of the clusters' precisions and means.
///
/// Each point has a statistic s, two numbers, and a share t of each cluster. They are taken as the coordinates
/// of so many points of that cluster, for which the posterior is known in closed form: these are *neural
/// sufficient statistics*.
public struct ComponentEncoder: TensorTree {
  /// From a point to its statistic.
  public var statistic: Dense
  /// From a point to the logits of its shares.
  public var share: Dense

  init(inputs: Int, key: PRNGKey) {
    let (statisticKey, shareKey) = key.split()
    statistic = Dense(inputs: inputs, outputs: 2, key: statisticKey)
    share = Dense(inputs: inputs, outputs: GMM.clusterCount, key: shareKey)
  }

  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("Dense_0", &statistic)
    try visitor.visit("Dense_1", &share)
  }

  /// The posterior given points `[points, inputs]`.
  func callAsFunction(_ x: Tensor) -> NormalGamma {
    let s = statistic(x)
    let t = share(x).softmax(axis: -1).transposed()
    return NormalGamma(
      count: t.sum(axis: 1, keepingAxes: true), sum: matmul(t, s), sumOfSquares: matmul(t, s.squared))
  }
}

/// Precisions τ ~ Gamma(α, β) and means μ ~ Normal(m, 1/√(ν τ)), for each cluster and coordinate.
struct NormalGamma {
  let concentration, rate, mean, count: Tensor

  /// The posterior of a normal distribution's precision and mean, where the prior is the target's: α = β = 2,
  /// m = 0, ν = 0.1.
  ///
  /// - Parameters:
  ///   - count: the number of points, `[clusters, 1]`.
  ///   - sum: the sum of their coordinates, `[clusters, 2]`.
  ///   - sumOfSquares: the sum of their squares, `[clusters, 2]`.
  init(count: Tensor, sum: Tensor, sumOfSquares: Tensor) {
    let prior: (concentration: Float, rate: Float, count: Float) = (2, 2, 0.1)
    let deviation = sumOfSquares - sum.squared / count
    let shift = count * prior.count / (count + prior.count) * (sum / count).squared
    concentration = prior.concentration + 0.5 * count
    rate = prior.rate + 0.5 * (deviation + shift)
    mean = sum / (prior.count + count)
    self.count = prior.count + count
  }

  /// Means and precisions, `[clusters, 2]`.
  func sample(_ trace: KernelTrace) -> (mean: Tensor, tau: Tensor) {
    let tau = trace.sample("tau", from: Gamma(concentration, rate).event(2))
    return (trace.sample("mean", from: Normal(mean, 1 / sqrt(tau * count)).event(2)), tau)
  }
}
