import Coix

/// Deep mixtures: sets of points in the plane, each on one of four rings whose shape is learned.
///
/// For each cluster a centre μ ~ Normal(0, 10); for each point a cluster c, all equally likely, a place on the
/// ring h ~ Beta(1, 1), and x ~ Normal(μ + f(h), 0.1), where the decoder f gives a point of the unit circle.
///
/// Wu, Zimmermann, Sennesh, Le and van de Meent, "Amortized population Gibbs samplers with neural sufficient
/// statistics", 2020, sections 6.3 and F.2. The networks are those of coix's example, and their parameters have
/// its names.
public struct DMM: GibbsMixture {
  public static let clusterCount = 4

  /// From points to centres.
  public var initialCenters: CenterEncoder
  /// From points, their clusters and their places to centres.
  public var centers: CenterEncoder
  /// From the way from a centre to a point to the logit of the point's being in that cluster.
  public var cluster: MLP
  /// From the way from its centre to a point to the point's place.
  public var place: PlaceEncoder
  /// From a place to a direction.
  public var decoder: MLP

  /// A sampler with random networks.
  public init(key: PRNGKey) {
    let keys = key.split(into: 5)
    initialCenters = CenterEncoder(inputs: 2, key: keys[0])
    centers = CenterEncoder(inputs: 2 + Self.clusterCount + 1, key: keys[1])
    cluster = MLP(sizes: [2, 32, 1], activation: .relu, key: keys[2])
    place = PlaceEncoder(key: keys[3])
    decoder = MLP(sizes: [1, 32, 2], activation: .tanh, key: keys[4])
  }

  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("encode_initial_mu", &initialCenters)
    try visitor.visit("encode_mu", &centers)
    try visitor.visit("encode_c", &cluster)
    try visitor.visit("encode_h", &place)
    try visitor.visit("decode_h", &decoder)
  }

  /// Points `[points, 2]`, centres `[clusters, 2]`, and each point's cluster and place, `[points]`.
  public typealias State = Tuple<Tensor, Tensor, Tensor, Tensor>
  /// Points and centres.
  public typealias FirstState = Tuple<Tensor, Tensor>

  public var target: Model<Tuple<Tensor>, State> {
    Model { [self] (trace, x: Tensor) -> (Tensor, Tensor, Tensor, Tensor) in
      let mu = trace.sample("mu", from: Normal(0, 10).expanded(to: [Self.clusterCount, 2]).event(2))
      let points = trace.plate("point", x.shape[0])
      let c = points.sample("c", from: Categorical(logits: .zeros([Self.clusterCount])))
      let h = points.sample("h", from: Beta(1, 1))
      points.observe("x", x, from: Normal(center(of: c, mu) + onCircle(h), 0.1).event(1))
      return (x, mu, c, h)
    }
  }

  public var firstParameters: Kernel<Tuple<Tensor>, FirstState> {
    Kernel { [initialCenters] (trace, x: Tensor) -> (Tensor, Tensor) in
      (x, trace.sample("mu", from: initialCenters(x).event(2)))
    }
  }

  public var firstClusters: Kernel<FirstState, State> {
    Kernel { [self] (trace, x: Tensor, mu: Tensor) -> (Tensor, Tensor, Tensor, Tensor) in
      let (c, h) = samplePoints(trace, x, mu)
      return (x, mu, c, h)
    }
  }

  public var kernels: [Kernel<State, State>] {
    let newCenters: Kernel<State, State> = Kernel {
      [centers] (trace, x: Tensor, _: Tensor, c: Tensor, h: Tensor) -> (Tensor, Tensor, Tensor, Tensor) in
      let known = [x, c.oneHot(depth: Self.clusterCount), h.expandingAxis(at: -1)]
      let mu = trace.sample("mu", from: centers(Tensor.concatenate(known, axis: -1)).event(2))
      return (x, mu, c, h)
    }
    let newPoints: Kernel<State, State> = Kernel {
      [self] (trace, x: Tensor, mu: Tensor, _: Tensor, _: Tensor) -> (Tensor, Tensor, Tensor, Tensor) in
      let (c, h) = samplePoints(trace, x, mu)
      return (x, mu, c, h)
    }
    return [newCenters, newPoints]
  }

  /// Each point's cluster and place: the cluster by the way from each centre, the place by that from its own.
  private func samplePoints(_ trace: KernelTrace, _ x: Tensor, _ mu: Tensor) -> (c: Tensor, h: Tensor) {
    let logits = cluster(x.expandingAxis(at: 1) - mu).squeezingAxis(at: -1)
    let points = trace.plate("point", x.shape[0])
    let c = points.sample("c", from: Categorical(logits: logits))
    return (c, points.sample("h", from: place(x - center(of: c, mu))))
  }

  /// Each point's centre, `[points, 2]`.
  private func center(of c: Tensor, _ mu: Tensor) -> Tensor {
    matmul(c.oneHot(depth: Self.clusterCount), mu)
  }

  /// The points of the unit circle at places `[points]`, `[points, 2]`.
  func onCircle(_ h: Tensor) -> Tensor {
    let direction = decoder(h.expandingAxis(at: -1))
    return direction / sqrt(direction.squared.sum(axis: -1, keepingAxes: true))
  }
}

/// From a set's points, and what is known of each, to a distribution of the clusters' centres.
///
/// Each point has features and a share of each cluster; a cluster's features are the mean over points, weighted
/// by their shares: these are *neural sufficient statistics*.
public struct CenterEncoder: TensorTree {
  /// From a point to its features.
  public var featureHidden, feature: Dense
  /// From a point to the logits of its shares.
  public var shareHidden, share: Dense
  /// From a cluster's features, and the prior's mean and scale, to two parts: one for the location, one for the
  /// scale.
  public var hidden: Dense
  /// From its part to the centre's location.
  public var location: Dense
  /// From its part to twice the logarithm of the centre's scale.
  public var scale: Dense

  init(inputs: Int, key: PRNGKey) {
    let keys = key.split(into: 7)
    featureHidden = Dense(inputs: inputs, outputs: 32, activation: .tanh, key: keys[0])
    feature = Dense(inputs: 32, outputs: 8, key: keys[1])
    shareHidden = Dense(inputs: inputs, outputs: 32, activation: .tanh, key: keys[2])
    share = Dense(inputs: 32, outputs: DMM.clusterCount, key: keys[3])
    hidden = Dense(inputs: 8 + 4, outputs: 2 * 32, activation: .tanh, key: keys[4])
    location = Dense(inputs: 32, outputs: 2, key: keys[5])
    scale = Dense(inputs: 32, outputs: 2, key: keys[6])
  }

  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("Dense_0", &featureHidden)
    try visitor.visit("Dense_1", &feature)
    try visitor.visit("Dense_2", &shareHidden)
    try visitor.visit("Dense_3", &share)
    try visitor.visit("Dense_4", &hidden)
    try visitor.visit("Dense_5", &location)
    try visitor.visit("Dense_6", &scale)
  }

  /// The distribution given points `[points, inputs]`.
  func callAsFunction(_ x: Tensor) -> Normal {
    let features = MLP(layers: [featureHidden, feature])(x)
    let shares = MLP(layers: [shareHidden, share])(x).softmax(axis: -1).transposed()
    let means = matmul(shares, features) / shares.sum(axis: 1, keepingAxes: true)
    let prior = Tensor([0, 0, 10, 10]).broadcast(to: [DMM.clusterCount, 4])
    let (forLocation, forScale) = hidden(Tensor.concatenate([means, prior], axis: -1)).halves
    return Normal(location(forLocation), exp(0.5 * scale(forScale)))
  }
}

/// From the way from a ring's centre to a point to a distribution of the point's place on the ring.
public struct PlaceEncoder: TensorTree {
  /// From the way to two parts, one for each concentration.
  public var hidden: Dense
  /// From its part to the logarithm of the first concentration.
  public var concentration1: Dense
  /// From its part to the logarithm of the second concentration.
  public var concentration0: Dense

  init(key: PRNGKey) {
    let keys = key.split(into: 3)
    hidden = Dense(inputs: 2, outputs: 2 * 32, activation: .tanh, key: keys[0])
    concentration1 = Dense(inputs: 32, outputs: 1, key: keys[1])
    concentration0 = Dense(inputs: 32, outputs: 1, key: keys[2])
  }

  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("Dense_0", &hidden)
    try visitor.visit("Dense_1", &concentration1)
    try visitor.visit("Dense_2", &concentration0)
  }

  /// The distribution given ways `[points, 2]`.
  func callAsFunction(_ way: Tensor) -> Beta {
    let (first, second) = hidden(way).halves
    return Beta(
      exp(concentration1(first).squeezingAxis(at: -1)), exp(concentration0(second).squeezingAxis(at: -1)))
  }
}

extension Tensor {
  /// The first and the second half along the last axis.
  fileprivate var halves: (Tensor, Tensor) {
    let middle = (shape.last ?? 0) / 2
    return (sliced(axis: -1, 0..<middle), sliced(axis: -1, middle..<2 * middle))
  }
}
