import Coix
import Testing

/// A distribution at the ends of what floats can hold. A new family, combination or bijector belongs into
/// this table.
struct ExtremeDistribution: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let parameters: [Tensor]
  private let make: @Sendable ([Tensor]) -> any Distribution

  init(
    _ name: String, _ parameters: [Tensor], _ make: @escaping @Sendable ([Tensor]) -> any Distribution
  ) {
    (testDescription, self.parameters, self.make) = (name, parameters, make)
  }

  func distribution(_ parameters: [Tensor]? = nil) -> any Distribution { make(parameters ?? self.parameters) }

  /// A family at several parameters.
  private static func family(
    _ name: String, _ parameters: [[Tensor]], _ make: @escaping @Sendable ([Tensor]) -> any Distribution
  ) -> [ExtremeDistribution] {
    parameters.map { values in
      ExtremeDistribution("\(name)(\(values.map { "\($0.scalars)" }.joined(separator: ", ")))", values, make)
    }
  }

  static let numbers: [ExtremeDistribution] =
    family("Normal", [[0, 1e-38], [1e30, 1e-30], [0, 1e38], [3e38, 1e37], [1e38, 1e38], [-3e38, 1e38]]) {
      Normal($0[0], $0[1])
    }
    + family("LogNormal", [[0, 50], [0, 1e-6], [100, 1], [-200, 1], [0, 1e4]]) { LogNormal($0[0], $0[1]) }
    + family("HalfNormal", [[1e-38], [1e38], [1e-30]]) { HalfNormal($0[0]) }
    + family("TruncatedNormal between bounds", [[0, 1, 8, 9], [5, 1e-4, 0, 1], [0, 1e-3, 0, 1e-6]]) {
      TruncatedNormal($0[0], $0[1], low: $0[2], high: $0[3])
    }
    + family("TruncatedNormal from below", [[0, 1, 20], [0, 1, 1e4], [0, 1e-3, 1]]) {
      TruncatedNormal($0[0], $0[1], low: $0[2])
    }
    + family("Uniform", [[-1e38, 2e38], [0, 1e-38], [1, 1.000_000_1], [-1e-30, 1e-30], [-3e38, 3e38]]) {
      Uniform($0[0], $0[1])
    }
    + family(
      "Gamma", [[1e-3, 1], [1e-8, 1], [1e-3, 1e30], [1e7, 1e7], [1, 1e-38], [1, 1e38], [1e6, 1e-35]]
    ) { Gamma($0[0], $0[1]) }
    + family("Beta", [[1e-3, 1e-3], [1e-8, 1], [1e-3, 1e6], [1e5, 1e5], [1, 1e-8]]) { Beta($0[0], $0[1]) }
    + family("Exponential", [[1e-38], [1e38]]) { Exponential($0[0]) }
    + family("Laplace", [[0, 1e38], [0, 1e-38], [1, 1e-30]]) { Laplace($0[0], $0[1]) }
    + family("StudentT", [[0.01, 0, 1], [0.1, 0, 1e30], [1e7, 0, 1], [2, 0, 1e-30], [2, 1e30, 1]]) {
      StudentT($0[0], $0[1], $0[2])
    }
    + family("Cauchy", [[0, 1e-20], [0, 1e37], [1e20, 1]]) { Cauchy($0[0], $0[1]) }
    + family("HalfCauchy", [[1e-38], [1e-20], [1e30], [1e38]]) { HalfCauchy($0[0]) }
    + family("InverseGamma", [[1e-3, 1], [1e-8, 1], [1e7, 1e7], [1, 1e-38], [1, 1e38], [1e6, 1e-30]]) {
      InverseGamma($0[0], $0[1])
    }
    + family("VonMises", [[0, 0], [0, 1e-30], [3, 1e6], [1, 1e30], [1e6, 1]]) { VonMises($0[0], $0[1]) }
    + family("Weibull", [[1, 1e-3], [1, 1e7], [1e-38, 1], [1e38, 1], [1e30, 0.01], [1, 1e30]]) {
      Weibull($0[0], $0[1])
    }

  static let counts: [ExtremeDistribution] =
    family("Bernoulli by probability", [[0], [1], [1e-30]]) { Bernoulli(probabilities: $0[0]) }
    + family("Bernoulli by logit", [[1e3], [-1e3], [1e38], [Tensor(.infinity)], [Tensor(-.infinity)]]) {
      Bernoulli(logits: $0[0])
    }
    + family("Categorical by probability", [[[0, 0.5, 0.5]], [[0, 0, 1]], [[1, 0, 0]], [[1, 1e-38]]]) {
      Categorical(probabilities: $0[0])
    }
    + family("Categorical by logit", [[[-.infinity, 0]], [[1e38, -1e38, 0]], [[1e3, 0, 1e3]]]) {
      Categorical(logits: $0[0])
    }
    + family(
      "Binomial by probability", [[0, 0.5], [10, 0], [10, 1], [10, 1e-30], [1e7, 0.5], [1e7, 1e-7]]
    ) {
      Binomial($0[0], probabilities: $0[1])
    }
    + family("Binomial by logit", [[10, 1e3], [10, -1e3], [10, 1e38], [1e7, 0]]) {
      Binomial($0[0], logits: $0[1])
    }
    + family("Binomial by infinite logit", [[10, Tensor(.infinity)], [10, Tensor(-.infinity)]]) {
      Binomial($0[0], logits: $0[1])
    }
    + family("NegativeBinomial by mean", [[0, 1], [1e-30, 1], [10, 1e-6], [10, 1e7], [1e6, 1]]) {
      NegativeBinomial(mean: $0[0], concentration: $0[1])
    }
    + family("NegativeBinomial by probability", [[1e-6, 0.5], [10, 0], [10, 1e-30], [1, 0.999_999]]) {
      NegativeBinomial($0[0], probabilities: $0[1])
    }
    + family(
      "NegativeBinomial by logit", [[10, Tensor(-.infinity)], [10, -1e3], [1e-6, 1], [1, 14], [3, 60]]
    ) {
      NegativeBinomial($0[0], logits: $0[1])
    }
    + family("Poisson", [[0], [1e-30], [1e7], [1e9]]) { Poisson($0[0]) }
    + family("Multinomial", [[[0, 1]], [[0, 0.5, 0.5]], [[1, 0, 0]]]) {
      Multinomial(20, probabilities: $0[0])
    }

  static let vectors: [ExtremeDistribution] =
    family("Dirichlet", [[[1e-3, 1e-3, 1e-3]], [[1e-6, 1, 1e6]], [[1e-8, 1e-8]], [[1e6, 1e6, 1e6]]]) {
      Dirichlet($0[0])
    }
    + family("MultivariateNormal", [[[0, 1e4], Tensor([1, 0, 1, 1e-6], shape: [2, 2])]]) {
      MultivariateNormal($0[0], choleskyFactor: $0[1])
    }
    + family(
      "MultivariateNormal by covariance", [[0, Tensor([1, 0.999_999, 0.999_999, 1], shape: [2, 2])]]
    ) {
      MultivariateNormal($0[0], covariance: $0[1])
    }
    + [
      ExtremeDistribution("Delta", [[1e38, 0]]) { Delta($0[0], logDensity: 3, eventRank: 1) },
      ExtremeDistribution("Unit", [-1e30]) { Unit($0[0]) },
    ]
    + family("LKJ", [[0.05], [1e4]]) { LKJ(4, $0[0]) }
    + family("LKJCholesky", [[0.05], [1e4], [1e-3]]) { LKJCholesky(4, $0[0]) }

  /// Maps of Normal(0, s) in four numbers.
  private static func maps(
    _ name: String, _ scales: [Float], _ bijector: @escaping @Sendable () -> any Bijector
  )
    -> [ExtremeDistribution]
  {
    scales.map { scale in
      ExtremeDistribution("\(name) of Normal(0, \(scale))", [0, Tensor(scale)]) { parameters in
        func transformed(_ bijector: some Bijector) -> any Distribution {
          let normal = Normal(parameters[0], parameters[1]).expanded(to: [6]).transformed(by: bijector)
          return normal.event(normal.batchShape.rank)
        }
        return transformed(bijector())
      }
    }
  }

  static let transformed: [ExtremeDistribution] =
    maps("Exp", [50, 1e3, 1e-20]) { Exp() } + maps("Softplus", [50, 1e3, 1e-20]) { Softplus() }
    + maps("Sigmoid", [50, 1e3, 1e-20]) { Sigmoid() } + maps("Tanh", [50, 1e3, 1e-20]) { Tanh() }
    + maps("Ordered", [10, 50, 1e3]) { Ordered() }
    + maps("SoftmaxCentered", [50, 1e3]) { SoftmaxCentered() }
    + maps("LowerCholesky", [10, 50, 1e3]) { LowerCholesky() }
    + maps("Affine(1, 1e-20)", [1, 50]) { Affine(1, 1e-20) }
    + maps("Affine(0, 1e38)", [1, 10]) { Affine(0, 1e38) }
    + maps("Affine(1e30, -1e-30)", [1, 50]) { Affine(1e30, -1e-30) }
    + maps("Exp, Affine(1, 1e-8)", [1, 50]) { Exp().then(Affine(1, 1e-8)) }
    + maps("Affine(3, 40), Exp", [1, 50]) { Affine(3, 40).then(Exp()) }
    + maps("Sigmoid, Affine(-3, 6)", [1, 50]) { Sigmoid().then(Affine(-3, 6)) }
    + maps("Ordered, Affine(1, 1e-8)", [1, 50]) { Ordered().then(Affine(1, 1e-8)) }
    + maps("Ordered, Sigmoid", [1, 10]) { Ordered().then(Sigmoid()) }
    + maps("Sigmoid, Affine, Ordered, Exp", [1, 50]) {
      Sigmoid().then(Affine(0, 20)).then(Ordered()).then(Exp())
    }
    + maps("Affine(0, 30), LowerCholesky", [1, 10]) { Affine(0, 30).then(LowerCholesky()) }
    + family("Affine of Beta", [[1e-3, 1e-3]]) { Beta($0[0], $0[1]).transformed(by: Affine(-1, 2)) }
    + family("Exp of Cauchy", [[0, 1e10]]) { Cauchy($0[0], $0[1]).transformed(by: Exp()) }
    + family("Sigmoid of Ordered of Normal", [[0, 10]]) {
      Normal($0[0], $0[1]).expanded(to: [4]).transformed(by: Ordered()).transformed(by: Sigmoid())
    }

  static let combined: [ExtremeDistribution] =
    family("Mixture of Normal", [[[0, 1], [0, 1e30], [1, 1e-30]]]) {
      Mixture(Categorical(probabilities: $0[0]), of: Normal($0[1], $0[2]))
    }
    + family("Mixture of LogNormal", [[[0.5, 0.5], [0, 1], [50, 1e3]]]) {
      Mixture(Categorical(probabilities: $0[0]), of: LogNormal($0[1], $0[2]))
    }
    + family("Mixture of Ordered", [[[0.5, 0.5], [10, 50]]]) {
      let normal = Normal(0, $0[1].expandingAxis(at: -1)).expanded(to: [2, 4]).transformed(by: Ordered())
      return Mixture(Categorical(probabilities: $0[0]), of: normal)
    }
    + family("GeneralMixture", [[[0.5, 0.5], 1e38, 50]]) {
      GeneralMixture(Categorical(probabilities: $0[0]), of: [Exponential($0[1]), LogNormal(0, $0[2])])
    }
    + family("masked", [[0, 50]]) {
      LogNormal($0[0], $0[1]).expanded(to: [4]).masked([1, 0, 1, 0]).event(1)
    }
    + family("masked vectors", [[0, 10]]) {
      Normal($0[0], $0[1]).expanded(to: [3, 4]).transformed(by: Ordered()).masked([1, 0, 1]).event(1)
    }
    + family("scaled", [[0, 10]]) {
      Normal($0[0], $0[1]).expanded(to: [4]).transformed(by: Ordered()).scaled(by: 1e3)
    }
    + family("expanded", [[[0, 1, 2], 50]]) {
      LogNormal($0[0].expandingAxis(at: -1), $0[1]).expanded(to: [2, 3, 4]).event(3)
    }

  static let all = numbers + counts + vectors + transformed + combined
}
