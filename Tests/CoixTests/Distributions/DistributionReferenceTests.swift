import Coix
import Testing

/// NumPyro's own numbers (0.22.0, JAX 0.10.2) for what the golden files don't have: `d.log_prob(value)` and
/// `d.sample(jax.random.PRNGKey(7), shape)`.
@Suite struct DistributionReferenceTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let distribution: any Distribution
    let value: Tensor
    let logProb: [Float]
    let rows: Int
    let sample: [Float]

    init(
      _ name: String, _ distribution: any Distribution, at value: Tensor, _ logProb: [Float], rows: Int,
      _ sample: [Float]
    ) {
      (testDescription, self.distribution, self.value, self.logProb) = (name, distribution, value, logProb)
      (self.rows, self.sample) = (rows, sample)
    }
  }

  static let cases = [
    Case(
      "TruncatedNormal(1, 2, low=0.5, high=3)", TruncatedNormal(1, 2, low: 0.5, high: 3),
      at: [0.5, 1, 3, 3.1],
      [-0.822_471_2, -0.791_221_2, -1.291_221_4, -.infinity], rows: 3, [2.036_899, 2.909_713, 1.173_477]),
    Case(
      "TruncatedNormal(1, 2, low=2.5)", TruncatedNormal(1, 2, low: 2.5), at: [2.5, 4, 2],
      [-0.408_887_5, -1.252_637_6, -.infinity], rows: 3, [3.895_261_3, 6.053_947_4, 3.005_467]),
    Case(
      "TruncatedNormal(1, 2, low=-1)", TruncatedNormal(1, 2, low: -1), at: [2.5, 4, -2],
      [-1.720_581_9, -2.564_332, -.infinity], rows: 3, [2.200_302_1, 5.053_033, 0.562_647_4]),
    Case(
      "TruncatedNormal(1, 2, high=0.5)", TruncatedNormal(1, 2, high: 0.5), at: [-1, 0.5, 1],
      [-1.199_024, -0.730_273_9, -.infinity], rows: 3, [-0.222_554_56, 0.447_133_1, -1.334_752_8]),
    Case(
      "Poisson([0.5, 3, 20])", Poisson([0.5, 3, 20]), at: [0, 2, 18], [-0.5, -1.495_922_8, -2.472_267_2],
      rows: 2,
      [2, 1, 18, 0, 2, 20]),
    Case(
      "Multinomial(5, probs=[0.2, 0.5, 0.3])", Multinomial(5, probabilities: [0.2, 0.5, 0.3]),
      at: Tensor([1, 3, 1, 0, 5, 0, 1, 1, 1], shape: [3, 3]), [-1.897_12, -3.465_736_4, -.infinity], rows: 4,
      [1, 2, 2, 2, 1, 2, 0, 4, 1, 0, 3, 2]),
    Case(
      "Multinomial([5, 2], probs=[[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])",
      Multinomial([5, 2], probabilities: Tensor([0.2, 0.5, 0.3, 0.6, 0.1, 0.3], shape: [2, 3])),
      at: Tensor([1, 3, 1, 0, 2, 0], shape: [2, 3]), [-1.897_12, -4.605_171], rows: 3,
      [0, 3, 2, 1, 0, 1, 1, 1, 3, 2, 0, 0, 0, 4, 1, 0, 1, 1]),
    Case(
      "Multinomial(4, logits=[0.2, -0.5, 1.3])", Multinomial(4, logits: [0.2, -0.5, 1.3]),
      at: Tensor([1, 2, 1, 0, 4, 0], shape: [2, 3]), [-3.832_07, -8.816_978], rows: 3,
      [1, 0, 3, 0, 0, 4, 1, 1, 2]),
    Case(
      "MixtureSameFamily(Categorical(probs=[0.3, 0.7]), Normal([-1, 2], [0.5, 1]))",
      Mixture(Categorical(probabilities: [0.3, 0.7]), of: Normal([-1, 2], [0.5, 1])), at: [0, 1, 2],
      [-2.656_574_2, -1.775_139_6, -1.275_613_5], rows: 5,
      [2.141_631_4, 1.566_953_8, 1.178_526_4, 1.085_418_8, -0.490_770_34]),
    Case(
      "MixtureSameFamily(Categorical(logits=[[0.3, 0.7], [0, 1]]), Normal(arange(8).reshape(2, 2, 2), 1).to_event(1))",
      Mixture(
        Categorical(logits: Tensor([0.3, 0.7, 0, 1], shape: [2, 2])),
        of: Normal(Tensor((0..<8).map(Float.init), shape: [2, 2, 2]), 1).event(1)),
      at: Tensor([0, 1, 2, 5], shape: [2, 2]), [-2.723_935, -5.150_227_5], rows: 2,
      [1.477_545_7, 2.566_953_7, 5.823_485_4, 6.085_418_7, 0.814_066_9, 3.989_326_2, 6.501_276_5, 7.421_339]),
    Case(
      "MixtureGeneral(Categorical(probs=[0.3, 0.7]), [Normal(-1, 0.5), Cauchy(1, 2)])",
      GeneralMixture(Categorical(probabilities: [0.3, 0.7]), of: [Normal(-1, 0.5), Cauchy(1, 2)]),
      at: [0, 1, 2],
      [-2.107_665_3, -2.193_831_4, -2.417_695_5], rows: 5,
      [52.166_51, -31.215_359, -13.012_947, 10.899_348, -0.722_575_66]),
    Case(
      "MultivariateNormal([1, 2], scale_tril=[[1, 0], [0.5, 2]])",
      MultivariateNormal([1, 2], choleskyFactor: Tensor([1, 0, 0.5, 2], shape: [2, 2])), at: [0, 1],
      [-3.062_274_2],
      rows: 2, [1.451_235_2, 6.132_519, 0.483_760_54, 1.459_999_7]),
    Case(
      "TransformedDistribution(Normal(zeros(3), 1).to_event(1), OrderedTransform())",
      Normal(.zeros([3]), 1).event(1).transformed(by: Ordered()),
      at: Tensor([0, 1, 3, 0, 1, 0.5], shape: [2, 3]),
      [-3.690_189_4, -.infinity], rows: 2,
      [0.451_235_15, 7.504_22, 8.100_981, -0.140_940_3, 1.709_635_3, 3.106_620_3]),
    // A distribution whose last batch axis becomes the bijector's event.
    Case(
      "TransformedDistribution(Normal(zeros(3), 1), LowerCholeskyTransform())",
      Normal(.zeros([3]), 1).transformed(by: LowerCholesky()), at: Tensor([1, 0, 0.5, 2], shape: [2, 2]),
      [-3.815_189_4], rows: 2,
      [7.052_985, 0, 0.451_235_15, 0.596_760_45, 1.850_575_6, 0, -0.140_940_3, 1.396_985_2]),
    // A bijector that stretches the distribution.
    Case(
      "TransformedDistribution(Normal(0, 1), [AffineTransform([1, 2], [3, -2]), SigmoidTransform()])",
      Normal(0, 1).transformed(by: Affine([1, 2], [3, -2]).then(Sigmoid())), at: [0.2, 0.7],
      [-0.501_324_9, -0.217_528_22], rows: 2, [0.913_228_3, 0.129_329_32, 0.366_161_76, 0.907_365_26]),
    Case(
      "TransformedDistribution(Normal(0, 1), SoftplusTransform())", Normal(0, 1).transformed(by: Softplus()),
      at: [0.2, 0.7, -1], [-0.347_854_6, -0.232_690_8, -.infinity], rows: 2, [0.944_003_34, 2.086_042_9]),
  ]

  private func expectNear(_ found: [Float], _ expected: [Float], _ tolerance: Tolerance, _ name: String) {
    #expect(found.count == expected.count, "\(name)")
    for (found, expected) in zip(found, expected) {
      #expect(tolerance.accepts(found, expected), "\(name): \(found), expected \(expected)")
    }
  }

  @Test(arguments: cases)
  func agrees(_ test: Case) throws {
    func check(_ distribution: some Distribution) throws {
      expectNear(distribution.logProb(of: test.value).scalars, test.logProb, .logDensity, "log_prob")
      let sizes = Shape([test.rows]).appending(distribution.batchShape)
      expectNear(distribution.expanded(to: sizes).sample(7).scalars, test.sample, .draw, "sample")
      let rows = try drawInPlate(distribution, 7, rows: test.rows, chunkRows: 1)
      #expect(rows.shape == Shape([test.rows]).appending(distribution.shape))
      // A large rate's draws go by the first acceptance in a plate; see `Draw.poisson`.
      guard !(distribution is Poisson) else { return }
      expectNear(rows.scalars, test.sample, .draw, "sample in a plate")
    }
    try check(test.distribution)
  }

  /// `jax.grad` of the sum of `random.gamma(PRNGKey(7), a, (4,))`, and of `random.loggamma`.
  @Test func gammaGradients() throws {
    func gradient(_ a: Float, _ draw: (Draw, Tensor) -> Tensor) throws -> Float {
      try valueWithGradient(at: Tensor(a)) { draw(Draw(key: 7, shape: [4]), $0).sum() }.gradient.scalar
    }
    let plain: [(Float, Float)] = [
      (0.1, 6.863_448), (0.5, 3.718_121), (1, 3.824_785_7), (3, 3.983_008_9), (50, 3.999_666_9),
      (2_000, 3.999_766_6),
    ]
    for (a, expected) in plain {
      expectNear([try gradient(a) { $0.gamma($1) }], [expected], .relative(2e-4), "gamma(\(a))")
    }
    let logarithmic: [(Float, Float)] = [(0.02, 9_610.092), (0.1, 748.311_34), (3, 1.546_136_5)]
    for (a, expected) in logarithmic {
      expectNear([try gradient(a) { $0.logGamma($1) }], [expected], .relative(2e-4), "loggamma(\(a))")
    }
  }

  /// `jax.grad` for `TruncatedNormal(1, 2, low=0.5, high=3)`, of the sum of three draws and of log-densities
  /// at 0.7 and 2.
  @Test func truncatedNormalGradients() throws {
    let parameters: [Tensor] = [1, 2, 0.5, 3]
    func make(_ p: [Tensor]) -> TruncatedNormal { TruncatedNormal(p[0], p[1], low: p[2], high: p[3]) }
    let sample = try valueWithGradient(at: parameters) { make($0).sample(Draw(key: 7, shape: [3])).sum() }
    expectNear(
      sample.gradient.map(\.scalar), [0.337_022_8, 0.245_049_63, 1.078_385_9, 1.584_591_3], .densityGradient,
      "sample")
    let density = try valueWithGradient(at: parameters) { make($0).logProb(of: [0.7, 2]).sum() }
    expectNear(
      density.gradient.map(\.scalar), [-0.153_819_5, -0.094_208, 0.878_689_2, -0.549_869_66],
      .densityGradient,
      "log_prob")
  }

  /// A truncated normal distribution far out or with close bounds, by sixty-digit arithmetic.
  struct Truncated: Sendable {
    let (location, scale): (Float, Float)
    let (low, high): (Float?, Float?)
    let x: Float
    let (logProb, mean): (Double, Double)
    /// d log p / d (location, scale, low, high).
    let gradient: [Float]

    var distribution: TruncatedNormal {
      make([Tensor(location), Tensor(scale), Tensor(low ?? 0), Tensor(high ?? 0)])
    }
    func make(_ p: [Tensor]) -> TruncatedNormal {
      TruncatedNormal(p[0], p[1], low: low == nil ? nil : p[2], high: high == nil ? nil : p[3])
    }
  }

  static let truncated = [
    Truncated(
      location: 0, scale: 1, low: 30, high: 31, x: 30.5, logProb: -11.722_694_6, mean: 30.033_259_667_4,
      gradient: [0.466_740_33, 28.252_21, 30.033_26, 0]),
    Truncated(
      location: 0, scale: 1, low: -31, high: -30, x: -30.5, logProb: -11.722_694_6, mean: -30.033_259_667_4,
      gradient: [-0.466_740_33, 28.252_21, 0, -30.033_26]),
    Truncated(
      location: 0, scale: 1, low: 40, high: nil, x: 40.02, logProb: 2.889_303_48, mean: 40.024_968_847_2,
      gradient: [-0.004_968_847_2, -0.398_353_89, 40.024_969, 0]),
    Truncated(
      location: 0, scale: 1, low: nil, high: -40, x: -40.02, logProb: 2.889_303_48, mean: -40.024_968_847_2,
      gradient: [0.004_968_847_2, -0.398_353_89, 0, -40.024_969]),
    Truncated(
      location: 0, scale: 1e6, low: -1, high: 1, x: 0, logProb: -0.693_147_181, mean: 0,
      gradient: [0, 0, 0.5, -0.5]),
    Truncated(
      location: 0, scale: 100, low: 30, high: 30.5, x: 30.25, logProb: 0.693_148_127, mean: 30.249_936_979_2,
      gradient: [0, 0, 2.001_508_7, -1.998_483_7]),
    Truncated(
      location: 2, scale: 1, low: 2.001_953_125, high: 2.003_906_25, x: 2.002_929_687_5,
      logProb: 6.238_324_78, mean: 2.002_929_686_57, gradient: [0, 0, 512.001_3, -511.998_37]),
    Truncated(
      location: 0, scale: 1, low: 20, high: 20.007_812_5, x: 20.003_906_25, logProb: 4.851_015_37,
      mean: 20.003_804_546_5, gradient: [0, 0.004_063_844_6, 138.261_66, -118.257_86]),
    Truncated(
      location: 0, scale: 1, low: -20.007_812_5, high: -20, x: -20.003_906_25, logProb: 4.851_015_37,
      mean: -20.003_804_546_5, gradient: [0, 0.004_063_844_6, 118.257_86, -138.261_66]),
  ]

  /// Log-densities are sums of numbers as large as half the squared distance from the mean, and rounded like
  /// these.
  @Test(arguments: truncated.indices) func truncatedNormalAtItsExtremes(_ index: Int) throws {
    let test = Self.truncated[index]
    let parameters = [test.location, test.scale, test.low ?? 0, test.high ?? 0].map { Tensor($0) }
    let distance = Double(((test.x - test.location) / test.scale).magnitude)
    let rounding = 1e-6 * (1 + distance * distance)
    let density = try valueWithGradient(at: parameters) { test.make($0).logProb(of: Tensor(test.x)) }
    #expect(abs(Double(density.value) - test.logProb) < rounding)
    for (found, expected) in zip(density.gradient, test.gradient) {
      #expect((found.scalar - expected).magnitude < 1e-3 * (1 + expected.magnitude), "\(found) \(expected)")
    }

    // Draws: within the bounds, of many values, and with the exact mean. The spread is at most the smaller of
    // width and 1/distance.
    let count = 20_000
    let draws = test.distribution.expanded(to: [count]).sample(7).scalars.map { Double($0) }
    let (low, high) = (Double(test.low ?? -.infinity), Double(test.high ?? .infinity))
    #expect(draws.allSatisfy { $0 >= low && $0 <= high })
    let spread = Swift.min(high - low, 1.5 * Double(test.scale) / Swift.max(distance, 1e-9))
    let mean = draws.reduce(0, +) / Double(count)
    #expect(abs(mean - test.mean) < 4 * spread / Double(count).squareRoot() + 2e-7 * abs(test.mean))
    let variance = draws.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count)
    #expect(variance > 0.01 * spread * spread)
    let resolution = Double(Float(test.x.magnitude).ulp)
    #expect(Double(Set(draws).count) > Swift.min(5_000, 0.3 * spread / Swift.max(resolution, 1e-30)))
  }

  /// d x / d parameter = -(∂F / ∂ parameter) / (∂F / ∂x): if all bounds and the mean move by 1, draws do, and
  /// if the scale and all distances grow by a factor, so do they.
  @Test(arguments: truncated.indices) func truncatedNormalDrawsMoveAlong(_ index: Int) throws {
    let test = Self.truncated[index]
    let parameters = [test.location, test.scale, test.low ?? 0, test.high ?? 0].map { Tensor($0) }
    for seed in 0..<5 {
      let draw = try valueWithGradient(at: parameters) { test.make($0).sample(PRNGKey(seed: seed)) }
      let gradient = draw.gradient.map { Double($0.scalar) }
      // A step of the draw is rounded like the draw's distance from the mean.
      let sum = gradient[0] + gradient[2] + gradient[3]
      #expect(abs(sum - 1) < 2e-3, "\(gradient)")
      let (location, scale) = (Double(test.location), Double(test.scale))
      let grown =
        gradient[1] * scale + gradient[2] * (Double(test.low ?? test.location) - location)
        + gradient[3] * (Double(test.high ?? test.location) - location)
      let x = Double(draw.value) - location
      #expect(abs(grown - x) < 2e-3 * (1 + abs(x)), "\(gradient) \(x)")
    }
  }
}
