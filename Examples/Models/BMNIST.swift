import Coix

/// Bouncing digits: what the digits in a sequence of frames look like, and where they are in each frame, inferred
/// by amortised population Gibbs sampling.
///
/// Wu, Zimmermann, Sennesh, Le and van de Meent, "Amortized population Gibbs samplers with neural sufficient
/// statistics", 2020, sections 6.4 and F.3; the networks are those of coix's example `bmnist`.
///
/// A position lies in [-1, 1]², where -1 is a digit at the left or upper edge of the frame and 1 one at the right or
/// lower edge; its first number is the horizontal one.
public struct BMNIST: TensorTree {
  /// From a digit's pixels in all frames to its code.
  public var encodeWhat: WhatEncoder
  /// From how well a digit fits at each place of a frame to its position.
  public var encodeWhere: WhereEncoder
  /// From a digit's code to its pixels.
  public var decodeWhat: WhatDecoder
  /// What a digit looks like on average, `[digit, digit]`: what the first sweep looks for. It is not trained.
  public let meanDigit: Tensor
  /// The frames' height and width.
  public let frameSize: Int
  /// How many digits there are in a sequence.
  public let digitCount: Int
  /// Whether to do as the reference does, for comparison. There digits are cut out of a mirrored window, which is mostly
  /// empty: the frame is moved in the direction in which digits are. And the first proposals, but for the last one, are
  /// auxiliary (`compose` with a suffix), so that ``Objective/rws`` makes good ones less likely.
  public var followsReference = false

  /// An example with given networks.
  public init(
    encodeWhat: WhatEncoder, encodeWhere: WhereEncoder, decodeWhat: WhatDecoder, meanDigit: Tensor,
    frameSize: Int, digitCount: Int = 2
  ) {
    self.encodeWhat = encodeWhat
    self.encodeWhere = encodeWhere
    self.decodeWhat = decodeWhat
    self.meanDigit = meanDigit
    self.frameSize = frameSize
    self.digitCount = digitCount
  }

  /// An example with random networks.
  ///
  /// - Parameters:
  ///   - meanDigit: `[digit, digit]`.
  ///   - frameSize: the frames' height and width, at least those of a digit.
  ///   - hidden: the widths of the hidden layers of digits' networks; that of positions' is the second one.
  ///   - latent: the length of a code.
  ///   - key: what the parameters are drawn from.
  public init(
    meanDigit: Tensor, frameSize: Int, hidden: (Int, Int) = (400, 200), latent: Int = 10, digitCount: Int = 2,
    key: PRNGKey
  ) {
    let digit = meanDigit.shape.last ?? 0
    let places = frameSize - digit + 1
    let keys = key.split(into: 3)
    self.init(
      encodeWhat: WhatEncoder(pixels: digit * digit, hidden: hidden, latent: latent, key: keys[0]),
      encodeWhere: WhereEncoder(places: places * places, hidden: hidden.1, key: keys[1]),
      decodeWhat: WhatDecoder(pixels: digit * digit, hidden: hidden, latent: latent, key: keys[2]),
      meanDigit: meanDigit, frameSize: frameSize, digitCount: digitCount)
  }

  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("encode_what", &encodeWhat)
    try visitor.visit("encode_where", &encodeWhere)
    try visitor.visit("decode_what", &decodeWhat)
  }
}

/// What kernels know of a sequence when they propose.
public struct Scene: TensorTree {
  /// `[frame, height, width]`.
  public var frames: Tensor
  /// What the digits look like, `[digit, height, width]`. No gradient flows through.
  public var digits: Tensor
  /// For each frame, where the digits are: `[digit, 2]`.
  public var positions: [Tensor]

  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("frames", &frames)
    try visitor.visit("digits", &digits)
    try visitor.visit("positions", &positions)
  }
}

// MARK: - Programs

extension BMNIST {
  /// Codes from their prior, positions from random walks, and the frames that show the digits there.
  public var target: Model<Tuple<Tensor>, Scene> {
    Model(tree: { [self] (trace, input: Tuple<Tensor>) -> Scene in
      let frames = input.values
      let what = Normal(0, 1).expanded(to: [digitCount, decodeWhat.latent]).event(2)
      let digits = decodeWhat(trace.sample("z_what", from: what))

      let positions = (0..<digitCount).map { digit in
        var path: [Tensor] = []
        for time in 0..<frames.shape[0] {
          let step = Normal(path.last ?? Tensor.zeros([2]), time == 0 ? 1 : 0.1).event(1)
          path.append(trace.sample("z_where_\(digit)_\(time)", from: step))
        }
        return Tensor.stack(path)
      }
      let paths = Tensor.stack(positions)

      trace.observe(
        "frames", frames,
        from: Bernoulli(probabilities: rendered(digits, at: paths)).takingFractions.event(3))
      return Scene(
        frames: frames, digits: digits.detached,
        positions: (0..<frames.shape[0]).map { paths.selecting($0, axis: 1) })
    })
  }

  /// Where the digits are in one frame: each is looked for in what the digits before it leave of the frame.
  public func kernelWhere(_ time: Int) -> Kernel<Scene, Scene> {
    Kernel(tree: { [self] (trace, scene: Scene) -> Scene in
      var rest = scene.frames[time]
      var positions: [Tensor] = []
      for digit in 0..<digitCount {
        let (location, scale) = encodeWhere(conv2d(rest, scene.digits[digit]))
        let position = trace.sample("z_where_\(digit)_\(time)", from: Normal(location, scale).event(1))
        rest = rest - embedded(scene.digits[digit], at: position)
        positions.append(position)
      }
      var scene = scene
      scene.positions[time] = Tensor.stack(positions)
      return scene
    })
  }

  /// What the digits look like, from where they are in all frames.
  public var kernelWhat: Kernel<Scene, Scene> {
    Kernel(tree: { [self] (trace, scene: Scene) -> Scene in
      let digits = cropped(scene.frames, at: Tensor.stack(scene.positions, axis: 1))
      let (location, scale) = encodeWhat(digits)
      _ = trace.sample("z_what", from: Normal(location, scale).event(2))
      return scene
    })
  }

  /// What is known of frames before the first sweep: nothing but what digits look like on average.
  private func start(frameCount: Int) -> Kernel<Tuple<Tensor>, Scene> {
    Kernel(tree: { [self] (_, input: Tuple<Tensor>) -> Scene in
      Scene(
        frames: input.values, digits: meanDigit.broadcast(to: Shape([digitCount] + Array(meanDigit.shape))),
        positions: Array(repeating: .zeros([digitCount, 2]), count: frameCount))
    })
  }

  /// Codes and positions inferred by sweeps through the kernels, from frames `[frame, height, width]` mapped over
  /// the instances.
  ///
  /// - Parameters:
  ///   - frameCount: how many frames a sequence has.
  ///   - particles: the plate of particles for each sequence.
  ///   - instances: the plate of sequences.
  ///   - sweeps: how many sweeps follow the first one.
  /// - Throws: `CoixError.argument(_:)`.
  public func inference(frameCount: Int, particles: Plate, instances: Plate, sweeps: Int) throws
    -> Inference<Tuple<Tensor>, Scene>
  {
    let kernels =
      (0..<frameCount).map { particles(instances(kernelWhere($0))) } + [
        particles(instances(kernelWhat))
      ]
    let initial = kernels.reduce(particles(instances(start(frameCount: frameCount)))) {
      compose($1, $0, suffix: followsReference)
    }
    return try apgs(particles(instances(target)), initial: initial, kernels: kernels, sweeps: sweeps)
  }

  /// The loss of a batch of sequences, `[instance, frame, height, width]`, for each of them.
  ///
  /// - Throws: what the evaluation throws.
  public func loss(
    _ batch: Tensor, particleCount: Int, sweeps: Int, key: PRNGKey, workers: Workers = .standard
  ) throws -> Tensor {
    let options = EvaluationOptions(workers: workers, keep: .metrics)
    let result = try infer(batch, particleCount: particleCount, sweeps: sweeps, key: key, options: options)
    return try result.metrics.loss / Tensor(Float(batch.shape[0]))
  }

  /// Inference for a batch of sequences, `[instance, frame, height, width]`.
  ///
  /// - Throws: what the evaluation throws.
  public func infer(
    _ batch: Tensor, particleCount: Int, sweeps: Int, key: PRNGKey,
    options: EvaluationOptions = EvaluationOptions()
  ) throws -> Evaluation<Scene> {
    let instances = Plate("instance", count: batch.shape[0])
    let program = try inference(
      frameCount: batch.shape[1], particles: Plate("particle", count: particleCount), instances: instances,
      sweeps: sweeps)
    return try evaluate(program, seed: key, options: options)(instances.mapped(batch))
  }
}

// MARK: - Images

extension BMNIST {
  /// Frames that show digits `[digit, height, width]` along their paths, `[digit, frame, 2]`.
  public func rendered(_ digits: Tensor, at paths: Tensor) -> Tensor {
    // Where digits overlap the sum may be greater than 1, and the interpolation may be less than 0.
    embedded(digits.expandingAxis(at: 1), at: paths).sum(axis: 0).clamped(to: 0...1)
  }

  /// Frames of zeros with digits `[..., height, width]` at positions `[..., 2]`.
  public func embedded(_ digits: Tensor, at positions: Tensor) -> Tensor {
    digits.translated(by: offset(of: positions, digits), to: (frameSize, frameSize))
  }

  /// The windows of frames `[..., height, width]` at positions `[..., 2]`.
  public func cropped(_ frames: Tensor, at positions: Tensor) -> Tensor {
    let offset = offset(of: positions, meanDigit)
    let size = meanDigit.shape.last ?? 0
    return frames.translated(by: followsReference ? offset : -offset, to: (size, size))
  }

  /// How many pixels digits at these positions are below the upper edge and to the right of the left edge.
  private func offset(of positions: Tensor, _ digits: Tensor) -> Tensor {
    let range = Float(frameSize - (digits.shape.last ?? 0))
    return Tensor(range / 2) * (positions.gathered(at: [1, 0], axis: -1) + 1)
  }
}

// MARK: - Networks

/// From a digit's pixels in several frames to the distribution of its code.
public struct WhatEncoder: TensorTree {
  /// From pixels to features of one frame, which are added up over the frames.
  public var features: MLP
  /// From the sum to the location.
  public var location: Dense
  /// From the sum to twice the logarithm of the scale.
  public var logScale: Dense

  /// An encoder with given layers.
  public init(features: MLP, location: Dense, logScale: Dense) {
    (self.features, self.location, self.logScale) = (features, location, logScale)
  }

  init(pixels: Int, hidden: (Int, Int), latent: Int, key: PRNGKey) {
    let keys = key.split(into: 4)
    features = MLP(layers: [
      Dense(inputs: pixels, outputs: hidden.0, activation: .relu, key: keys[0]),
      Dense(inputs: hidden.0, outputs: hidden.1, activation: .relu, key: keys[1]),
    ])
    location = Dense(inputs: hidden.1, outputs: latent, key: keys[2])
    logScale = Dense(inputs: hidden.1, outputs: latent, key: keys[3])
  }

  /// From digits `[digit, frame, height, width]` to location and scale, `[digit, latent]`.
  public func callAsFunction(_ digits: Tensor) -> (location: Tensor, scale: Tensor) {
    let (shape, pixels) = (digits.shape, digits.shape[2] * digits.shape[3])
    let sum = features(digits.reshaped(to: [shape[0], shape[1], pixels])).sum(axis: 1)
    return (location(sum), exp(0.5 * logScale(sum)))
  }

  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("features", &features)
    try visitor.visit("location", &location)
    try visitor.visit("log_scale", &logScale)
  }
}

/// From how well a digit fits at each place of a frame to the distribution of its position.
public struct WhereEncoder: TensorTree {
  /// From the softmax over all places to features, half of them for the location and half for the scale.
  public var features: MLP
  /// From features to the location, before the hyperbolic tangent.
  public var location: Dense
  /// From features to twice the logarithm of the scale.
  public var logScale: Dense

  /// An encoder with given layers.
  public init(features: MLP, location: Dense, logScale: Dense) {
    (self.features, self.location, self.logScale) = (features, location, logScale)
  }

  init(places: Int, hidden: Int, key: PRNGKey) {
    let keys = key.split(into: 4)
    features = MLP(layers: [
      Dense(inputs: places, outputs: hidden, activation: .relu, key: keys[0]),
      Dense(inputs: hidden, outputs: hidden / 2 * 2, activation: .relu, key: keys[1]),
    ])
    location = Dense(inputs: hidden / 2, outputs: 2, key: keys[2])
    logScale = Dense(inputs: hidden / 2, outputs: 2, key: keys[3])
  }

  /// From the convolution of a frame with a digit to location and scale, `[2]`.
  public func callAsFunction(_ convolution: Tensor) -> (location: Tensor, scale: Tensor) {
    let features = features(convolution.flattened().softmax(axis: 0))
    let half = (features.shape.last ?? 0) / 2
    return (tanh(location(features[0..<half])), exp(0.5 * logScale(features[half..<2 * half])))
  }

  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("features", &features)
    try visitor.visit("location", &location)
    try visitor.visit("log_scale", &logScale)
  }
}

/// From digits' codes to their pixels.
public struct WhatDecoder: TensorTree {
  /// From codes to pixels' log-odds.
  public var network: MLP

  /// A decoder with a given network.
  public init(network: MLP) { self.network = network }

  init(pixels: Int, hidden: (Int, Int), latent: Int, key: PRNGKey) {
    network = MLP(sizes: [latent, hidden.1, hidden.0, pixels], key: key)
  }

  /// The length of a code.
  public var latent: Int { network.layers.first?.kernel.shape.first ?? 0 }

  /// From codes `[digit, latent]` to digits `[digit, height, width]`, as tall as they are wide.
  public func callAsFunction(_ codes: Tensor) -> Tensor {
    let pixels = sigmoid(network(codes))
    let size = Int(Double(pixels.shape.last ?? 0).squareRoot())
    return pixels.reshaped(to: Shape(pixels.shape.dropLast()).appending([size, size]))
  }

  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("network", &network)
  }
}
