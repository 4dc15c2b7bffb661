import Coix

/// The variational autoencoder of coix's first tutorial: two-dimensional points and codes, or what other
/// networks take.
///
/// Prior z ~ Normal(0, 1), decoder x ~ Normal(f(z), 1), encoder z ~ Normal(g(x), 0.01), with perceptrons f
/// and g.
public struct VAE: TensorTree {
  /// From a point to the mean of its code.
  public var encoder: MLP
  /// From a code to the mean of its point.
  public var decoder: MLP

  /// An autoencoder with given networks.
  public init(encoder: MLP, decoder: MLP) {
    self.encoder = encoder
    self.decoder = decoder
  }

  /// An autoencoder with random networks of one hidden layer.
  public init(hidden: Int = 32, key: PRNGKey) {
    let (encoderKey, decoderKey) = key.split()
    encoder = MLP(sizes: [2, hidden, 2], key: encoderKey)
    decoder = MLP(sizes: [2, hidden, 2], key: decoderKey)
  }

  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("encoder", &encoder)
    try visitor.visit("decoder", &decoder)
  }

  /// z from its prior; hands the point on.
  public var prior: Kernel<Tuple<Tensor>, Tuple<Tensor, Tensor>> {
    Kernel { [code = decoder.layers.first?.kernel.shape[0] ?? 2] (trace, x: Tensor) in
      let z = trace.sample("z", from: Normal(0, 1).expanded(to: [code]).event(1))
      return (z, x)
    }
  }

  /// The point given its code; returns its mean.
  public var likelihood: Model<Tuple<Tensor, Tensor>, Tuple<Tensor>> {
    Model { [decoder] (trace, z: Tensor, x: Tensor) in
      let mean = decoder(z)
      trace.observe("x", x, from: Normal(mean, 1).event(1))
      return mean
    }
  }

  /// The code given its point; returns the code.
  public var posterior: Kernel<Tuple<Tensor>, Tuple<Tensor>> {
    Kernel { [encoder] (trace, x: Tensor) in
      trace.sample("z", from: Normal(encoder(x), 0.01).event(1))
    }
  }

  /// The joint density of code and point, for each row of a plate.
  public func target(_ plate: Plate) -> Target<Tuple<Tensor>, Tuple<Tensor>> {
    plate(compose(likelihood, prior, suffix: false))
  }

  /// Codes proposed by the encoder, weighted for the model.
  public func inference(_ plate: Plate, loss: Objective? = nil) -> Inference<Tuple<Tensor>, Tuple<Tensor>> {
    propose(target(plate), plate(posterior), loss: loss)
  }

  /// The plate that a batch stands in: row i of the data goes to particle i.
  public static func plate(_ count: Int) -> Plate { Plate("particle", count: count) }
}

extension VAE {
  /// The loss of one batch, `[rows, 2]`, and its gradient.
  ///
  /// - Throws: what the evaluation throws.
  public func lossAndGradient(
    _ batch: Tensor, key: PRNGKey, workers: Workers = .standard
  ) throws -> ValueWithGradient<VAE> {
    try valueWithGradient(at: self, workers: workers) { try $0.loss(batch, key: key, workers: workers) }
  }

  /// The same of 200,000 generated points, as it goes into a digest.
  ///
  /// - Throws: what the evaluation throws.
  public func lossAndGradientOfDigest(seed: Int, workers: Workers = .standard) throws -> ValueWithGradient<
    VAE
  > {
    let key = PRNGKey(seed: seed)
    return try lossAndGradient(PointData.moons(200_000, key: key), key: key, workers: workers)
  }

  /// The loss of one batch.
  ///
  /// - Throws: what the evaluation throws.
  public func loss(_ batch: Tensor, key: PRNGKey, workers: Workers = .standard) throws -> Tensor {
    let plate = VAE.plate(batch.shape[0])
    let options = EvaluationOptions(workers: workers, keep: .metrics)
    return try evaluate(inference(plate, loss: .elbo), seed: key, options: options)(plate.mapped(batch))
      .metrics.loss
  }
}

/// The loss of a step of training: that of a batch drawn from the data with replacement.
///
/// As in the tutorial, the step's key is split into one for the batch and one for the codes.
public struct VAEBatchLoss: Sendable {
  /// The data, `[points, 2]`.
  public let data: Tensor
  /// The number of points in a batch.
  public let batch: Int
  private let workers: Workers

  /// The loss of batches of some data, `[points, 2]`.
  public init(_ data: Tensor, batch: Int = 300, workers: Workers = .standard) {
    self.data = data
    self.batch = batch
    self.workers = workers
  }

  /// The loss for a step's key.
  ///
  /// - Throws: what the evaluation throws.
  public func callAsFunction(_ vae: VAE, key: PRNGKey) throws -> Tensor {
    let (batchKey, lossKey) = key.split()
    return try vae.loss(data.sampledRows(batch, key: batchKey), key: lossKey, workers: workers)
  }

  /// The rows of the data that a step trains on.
  public func rowNumbers(key: PRNGKey) -> [Int32] { key.split().0.choice(batch, from: data.shape[0]) }
}
