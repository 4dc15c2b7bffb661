import Coix
import Testing

/// A distribution with what is known of it.
struct DistributionCase: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let distribution: any Distribution
  /// Of one number, or of each component of an event.
  let mean: [Double]
  let variance: [Double]
  /// Values of density 0, each of the distribution's event shape.
  let outside: [Tensor]

  init(
    _ name: String, _ distribution: any Distribution, mean: [Double], variance: [Double], outside: [Tensor]
  ) {
    testDescription = name
    (self.distribution, self.mean, self.variance) = (distribution, mean, variance)
    self.outside = outside + [Tensor(repeating: .nan, shape: distribution.eventShape)]
  }

  static let ends: [Tensor] = [Tensor(.infinity), Tensor(-.infinity)]

  /// Of one number.
  static let continuous = [
    DistributionCase("Normal", Normal(1, 2), mean: [1], variance: [4], outside: ends),
    DistributionCase(
      "LogNormal", LogNormal(0.5, 0.4), mean: [1.786_038_4], variance: [0.553_488_1], outside: [0, -1] + ends),
    DistributionCase(
      "HalfNormal", HalfNormal(2), mean: [1.595_769_1], variance: [1.453_520_9], outside: [0, -1] + ends),
    DistributionCase("Gamma", Gamma(2.5, 2), mean: [1.25], variance: [0.625], outside: [0, -1] + ends),
    DistributionCase("Beta", Beta(2, 3), mean: [0.4], variance: [0.04], outside: [-0.1, 1.1] + ends),
    DistributionCase("Exponential", Exponential(2), mean: [0.5], variance: [0.25], outside: [0, -1] + ends),
    DistributionCase("Laplace", Laplace(1, 0.5), mean: [1], variance: [0.5], outside: ends),
    DistributionCase("StudentT", StudentT(8, 1, 2), mean: [1], variance: [16.0 / 3], outside: ends),
    DistributionCase("Cauchy", Cauchy(1, 2), mean: [], variance: [], outside: ends),
    DistributionCase("HalfCauchy", HalfCauchy(2), mean: [], variance: [], outside: [0, -1] + ends),
    DistributionCase(
      "Weibull", Weibull(2, 1.5), mean: [1.805_490_6], variance: [1.502_761_1], outside: [0, -1] + ends),
    DistributionCase(
      "InverseGamma", InverseGamma(12, 11), mean: [1], variance: [0.1], outside: [0, -1] + ends),
    DistributionCase(
      "VonMises", VonMises(1, 2), mean: [0.915_129_9], variance: [0.855_897_2], outside: [-3.2, 3.2] + ends),
    DistributionCase("Uniform", Uniform(-1, 3), mean: [1], variance: [4.0 / 3], outside: [-1.1, 3.1] + ends),
    DistributionCase(
      "TruncatedNormal", TruncatedNormal(1, 2, low: 0, high: 4), mean: [1.712_545_8], variance: [1.120_992_6],
      outside: [-0.1, 4.1] + ends),
    DistributionCase(
      "TruncatedNormal, from below", TruncatedNormal(0, 1, low: 1), mean: [1.525_135_3],
      variance: [0.199_097_7], outside: [0.9] + ends),
    DistributionCase(
      "TruncatedNormal, from above", TruncatedNormal(0, 1, high: -1), mean: [-1.525_135_3],
      variance: [0.199_097_7], outside: [-0.9] + ends),
    DistributionCase(
      "TruncatedNormal, without bounds", TruncatedNormal(1, 2), mean: [1], variance: [4], outside: ends),
    DistributionCase(
      "Mixture", Mixture(Categorical(probabilities: [0.3, 0.7]), of: Normal([-1, 2], [0.5, 1])), mean: [1.1],
      variance: [2.665], outside: ends),
    DistributionCase(
      "GeneralMixture", GeneralMixture(Categorical(logits: [0, 0]), of: [Normal(0, 1), Exponential(1)]),
      mean: [0.5],
      variance: [1.25], outside: ends),
    DistributionCase(
      "exp of Normal", Normal(0.5, 0.4).transformed(by: Exp()), mean: [1.786_038_4], variance: [0.553_488_1],
      outside: [0, -1] + ends),
    DistributionCase(
      "affine of Laplace", Laplace(0, 1).transformed(by: Affine(1, -0.5)), mean: [1], variance: [0.5],
      outside: ends),
    DistributionCase(
      "tanh of Normal", Normal(0, 1).transformed(by: Tanh()), mean: [0], variance: [0.394_294_4],
      outside: [-1, 1, 2] + ends),
    DistributionCase(
      "softplus of Normal", Normal(0, 1).transformed(by: Softplus()), mean: [0.806_059_2],
      variance: [0.271_514_5],
      outside: [0, -1] + ends),
    DistributionCase(
      "sigmoid of affine of Normal", Normal(0, 1).transformed(by: Affine(0, 2).then(Sigmoid())), mean: [0.5],
      variance: [0.098_573_6], outside: [0, 1, -1] + ends),
  ]

  static let discrete = [
    DistributionCase("Poisson, small rate", Poisson(3), mean: [3], variance: [3], outside: [-1, 0.5] + ends),
    DistributionCase(
      "Poisson, large rate", Poisson(20), mean: [20], variance: [20], outside: [-1, 0.5] + ends),
    DistributionCase(
      "Bernoulli", Bernoulli(logits: 0), mean: [0.5], variance: [0.25], outside: [-1, 0.5, 2]),
    DistributionCase(
      "Categorical", Categorical(probabilities: [0.2, 0.5, 0.3]), mean: [1.1], variance: [0.49],
      outside: [-1, 0.5, 3]),
    DistributionCase(
      "Binomial, small mean", Binomial(10, probabilities: 0.3), mean: [3], variance: [2.1],
      outside: [-1, 0.5, 11] + ends),
    DistributionCase(
      "Binomial, large mean", Binomial(100, logits: 0), mean: [50], variance: [25],
      outside: [-1, 0.5, 101] + ends),
    DistributionCase(
      "NegativeBinomial by mean", NegativeBinomial(mean: 2, concentration: 5), mean: [2], variance: [2.8],
      outside: [-1, 0.5] + ends),
    DistributionCase(
      "NegativeBinomial by probability", NegativeBinomial(2, probabilities: 0.4), mean: [4.0 / 3],
      variance: [20.0 / 9], outside: [-1, 0.5] + ends),
    DistributionCase(
      "NegativeBinomial by logits", NegativeBinomial(2.5, logits: 0), mean: [2.5], variance: [5],
      outside: [-1, 0.5] + ends),
    DistributionCase(
      "mixture of Poissons", Mixture(Categorical(logits: [0, 0]), of: Poisson([2, 6])), mean: [4],
      variance: [8],
      outside: [-1, 0.5] + ends),
  ]

  static let vectors = [
    DistributionCase(
      "Dirichlet", Dirichlet([2, 3, 5]), mean: [0.2, 0.3, 0.5],
      variance: [16.0 / 1_100, 21.0 / 1_100, 25.0 / 1_100],
      outside: [[0.5, 0.6, -0.1], [0.2, 0.2, 0.2], [1, 1, 1]]),
    DistributionCase(
      "MultivariateNormal",
      MultivariateNormal([1, -1], choleskyFactor: Tensor([1, 0, 0.5, 2], shape: [2, 2])), mean: [1, -1],
      variance: [1, 4.25], outside: [[.infinity, 0]]),
    DistributionCase(
      "Multinomial", Multinomial(10, probabilities: [0.2, 0.5, 0.3]), mean: [2, 5, 3],
      variance: [1.6, 2.5, 2.1],
      outside: [[1, 2, 3], [12, -1, -1], [2.5, 2.5, 5]]),
    DistributionCase(
      "Multinomial by logits", Multinomial(4, logits: [0, 0]), mean: [2, 2], variance: [1, 1],
      outside: [[5, -1]]),
    DistributionCase(
      "LKJCholesky", LKJCholesky(3, 2), mean: [1, 0, 0, 0, 0.905_414_8, 0, 0, 0, 0.8],
      variance: [0, 0, 0, 1.0 / 6, 0.013_557_4, 0, 1.0 / 6, 1.0 / 6, 2.0 / 3 - 0.64],
      outside: [
        Tensor([1, 0, 0, 0, 1, 0, 0, 0.6, -0.8], shape: [3, 3]),
        Tensor([1, 0, 0, 0, 1, 0, 0, 0.6, 0.6], shape: [3, 3]),
        Tensor([1, 0, 0, 0, 0.6, 0.8, 0, 0, 1], shape: [3, 3]),
      ]),
    DistributionCase(
      "LKJ", LKJ(3, 2), mean: [1, 0, 0, 0, 1, 0, 0, 0, 1],
      variance: [0, 1.0 / 6, 1.0 / 6, 1.0 / 6, 0, 1.0 / 6, 1.0 / 6, 1.0 / 6, 0],
      outside: [
        Tensor([1, 0.5, 0, 0.4, 1, 0, 0, 0, 1], shape: [3, 3]),
        Tensor([1, 0, 0, 0, 1.1, 0, 0, 0, 1], shape: [3, 3]),
        Tensor([1, 0.9, 0.9, 0.9, 1, -0.9, 0.9, -0.9, 1], shape: [3, 3]),
      ]),
    DistributionCase(
      "mixture of vectors",
      Mixture(
        Categorical(probabilities: [0.25, 0.75]),
        of: Normal(Tensor([0, 1, 4, 5], shape: [2, 2]), 1).event(1)),
      mean: [3, 4], variance: [4, 4], outside: [[.infinity, 0]]),
    DistributionCase(
      "ordered Normal", Normal([0, 0], 0.5).event(1).transformed(by: Ordered()), mean: [0, 1.133_148_5],
      variance: [0.25, 0.614_695_9], outside: [[1, 1], [2, 1]]),
    DistributionCase(
      "softmax of Normal", Normal(.zeros([1]), 2).event(1).transformed(by: SoftmaxCentered()),
      mean: [0.5, 0.5],
      variance: [0.098_573_6, 0.098_573_6], outside: [[1, 0], [0.5, 0.6], [-0.5, 1.5]]),
    DistributionCase(
      "Cholesky factor", Normal([0, 1, 0], 0.5).event(1).transformed(by: LowerCholesky()),
      mean: [3.080_216_8, 0, 0, 1.133_148_5], variance: [2.694_758_1, 0, 0.25, 0.364_695_9],
      outside: [Tensor([1, 0.5, 1, 1], shape: [2, 2]), Tensor([1, 0, 1, -1], shape: [2, 2])]),
  ]
}

/// A draw for each row of a plate, all under one key.
func drawInPlate(_ distribution: some Distribution, _ key: PRNGKey, rows: Int, chunkRows: Int? = nil) throws
  -> Tensor
{
  let plate = Plate("row", count: rows, chunkRows: chunkRows)
  let program = Kernel { (_: KernelTrace) -> Tensor in distribution.sample(key) }
  let output = try evaluate(plate(program), seed: 0)().output.values
  return output
}
