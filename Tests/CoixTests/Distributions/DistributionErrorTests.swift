import Coix
import Testing

/// What is wrong with distributions comes to light as an error, and nothing traps.
@Suite struct DistributionErrorTests {
  static let plate = Plate("particle", count: 100, chunkRows: 16)

  /// Parameters whose shapes don't fit, with a value of the shape that the distribution says it has.
  static let misshapen: [(name: String, distribution: any Distribution)] = [
    ("LogNormal", LogNormal([1, 2], [1, 2, 3])), ("Gamma", Gamma([1, 2], [1, 2, 3])),
    ("Beta", Beta([1, 2], [1, 2, 3])), ("Laplace", Laplace([1, 2], [1, 2, 3])),
    ("StudentT", StudentT([1, 2], 0, [1, 2, 3])), ("Cauchy", Cauchy([1, 2], [1, 2, 3])),
    ("TruncatedNormal", TruncatedNormal(0, [1, 2], low: [1, 2, 3])), ("Dirichlet", Dirichlet(2)),
    ("MultivariateNormal", MultivariateNormal([1, 2], choleskyFactor: .identity(3))),
    ("MultivariateNormal of a vector", MultivariateNormal([1, 2], choleskyFactor: [1, 2])),
    ("MultivariateNormal of a number", MultivariateNormal(1, choleskyFactor: 2)),
    ("MultivariateNormal of no square", MultivariateNormal([1, 2], choleskyFactor: .zeros([3, 2]))),
    ("MultivariateNormal by covariance", MultivariateNormal([1, 2], covariance: .zeros([3, 2]))),
    ("Multinomial", Multinomial([1, 2], probabilities: .ones([3, 2]))),
    ("Multinomial of a number", Multinomial(2, probabilities: 1)),
    ("Multinomial without categories", Multinomial(2, logits: .zeros([0]))),
    ("Categorical without categories", Categorical(probabilities: .zeros([0]))),
    ("Mixture", Mixture(Categorical(logits: [0, 0]), of: Normal([1, 2, 3], 1))),
    ("Mixture of a number", Mixture(Categorical(logits: [0, 0]), of: Normal(0, 1))),
    ("GeneralMixture", GeneralMixture(Categorical(logits: [0, 0]), of: [Normal(0, 1)])),
    ("GeneralMixture of nothing", GeneralMixture(Categorical(logits: .zeros([0])), of: [])),
    (
      "GeneralMixture of different events",
      GeneralMixture(Categorical(logits: [0, 0]), of: [Normal([0, 1], 1).event(1), Normal(0, 1)])
    ),
    ("Affine", Normal([1, 2], 1).transformed(by: Affine([1, 2, 3], 1))),
    ("Ordered of a number", Normal(0, 1).transformed(by: Ordered())),
    ("Ordered of nothing", Normal(.zeros([0]), 1).event(1).transformed(by: Ordered())),
    ("SoftmaxCentered of a number", Normal(0, 1).transformed(by: SoftmaxCentered())),
    ("LowerCholesky of four numbers", Normal(.zeros([4]), 1).event(1).transformed(by: LowerCholesky())),
    ("Weibull", Weibull([1, 2], [1, 2, 3])), ("InverseGamma", InverseGamma([1, 2], [1, 2, 3])),
    ("VonMises", VonMises([1, 2], [1, 2, 3])), ("Binomial", Binomial([1, 2], probabilities: .ones([3]))),
    ("NegativeBinomial", NegativeBinomial(mean: [1, 2], concentration: [1, 2, 3])),
    ("LKJ of a number", LKJ(1)), ("LKJCholesky of a number", LKJCholesky(1)), ("LKJ of nothing", LKJ(0)),
    ("LKJCholesky of less than nothing", LKJCholesky(-1)), ("LKJ of too much", LKJ(.max)),
    ("Scaled", Normal([1, 2], 1).scaled(by: [1, 2, 3])),
  ]

  @Test(arguments: misshapen.map(\.name))
  func shapesThatDoNotFit(_ name: String) throws {
    let distribution = try #require(Self.misshapen.first { $0.name == name }?.distribution)
    let value = Tensor.ones(distribution.shape)
    #expect(distribution.logProb(of: value).failure != nil)
    if name != "Scaled" { #expect(distribution.sample(3).failure != nil) }
    // And in a program, in a plate.
    func evaluated(_ distribution: some Distribution) throws {
      let all = distribution.event(max(distribution.shape.rank - distribution.eventRank, 0))
      _ = try evaluate(Self.plate(Kernel { $0.sample("x", from: all) }), seed: 1)()
    }
    #expect(throws: CoixError.self) { try evaluated(distribution) }
    _ = distribution.parameters
  }

  /// A value of another shape, asked for directly.
  @Test(arguments: DistributionCase.vectors)
  func valuesOfOtherShapes(_ test: DistributionCase) {
    for value: Tensor in [1, .ones([7]), .ones([7, 7])] {
      #expect(test.distribution.logProb(of: value).failure != nil, "\(value.shape)")
    }
  }

  /// Parameters that are tensors of another evaluation, or poisoned, poison.
  @Test func poison() {
    let poison = Tensor([1, 2]) + Tensor([1, 2, 3])
    let all: [any Distribution] = [
      Beta(poison, 1), Dirichlet(poison), MultivariateNormal(poison, choleskyFactor: poison),
      Multinomial(poison, logits: [1, 2]), Poisson(poison), HalfCauchy(poison), Weibull(1, poison),
      InverseGamma(poison), VonMises(0, poison), Binomial(poison, logits: 0), Binomial(2, logits: poison),
      NegativeBinomial(mean: 1, concentration: poison), NegativeBinomial(1, logits: poison), LKJ(2, poison),
      TruncatedNormal(0, 1, low: poison),
      Mixture(Categorical(logits: poison), of: Normal(0, 1)), Normal(0, 1).transformed(by: Affine(poison, 1)),
    ]
    for distribution in all {
      #expect(distribution.sample(1).failure != nil, "\(distribution)")
      #expect(distribution.logProb(of: 1).failure != nil, "\(distribution)")
    }
  }

  @Test func numbersOfTrials() {
    for count: Tensor in [-1, 1e9, Tensor(.nan), Tensor(.infinity)] {
      #expect(Multinomial(count, logits: [0, 0]).sample(1).failure != nil)
    }
    #expect(Multinomial(0, logits: [0, 0]).sample(1).scalars == [0, 0])
    for count: Tensor in [-1, 0.5, Tensor(.nan), Tensor(.infinity)] {
      #expect(Binomial(count, probabilities: 0.5).sample(1).scalar.isNaN)
    }
    #expect(Binomial(3, probabilities: [-0.1, 1.1, .nan]).sample(1).scalars.allSatisfy { $0.isNaN })
    #expect(Binomial([0, 3, 3], probabilities: [0.5, 0, 1]).sample(1).scalars == [0, 0, 3])
    #expect(VonMises(0, [-1, .nan, .infinity]).sample(1).scalars.allSatisfy { $0.isNaN })
    #expect(Multinomial(3, logits: [7]).sample(1).scalars == [3])
  }

  // MARK: Checks

  private func message(_ distribution: some Distribution) -> String? {
    let all = distribution.event(distribution.shape.rank - distribution.eventRank)
    let kernel = Kernel { $0.sample("z", from: all) }
    return CoixTests.message {
      try evaluate(Self.plate(kernel), seed: 1, options: EvaluationOptions(checks: true))()
    }
  }

  @Test func parametersOutsideOfTheirDomain() {
    #expect(message(LogNormal(0, 0)) == #"stage 1: site "z": scale must be positive, is 0.0 (particle 0)"#)
    #expect(message(HalfNormal(-1)) == #"stage 1: site "z": scale must be positive, is -1.0 (particle 0)"#)
    #expect(
      message(Gamma(-1, 1)) == #"stage 1: site "z": concentration must be positive, is -1.0 (particle 0)"#)
    #expect(
      message(Beta(1, 0)) == #"stage 1: site "z": concentration0 must be positive, is 0.0 (particle 0)"#)
    #expect(message(Exponential(0)) == #"stage 1: site "z": rate must be positive, is 0.0 (particle 0)"#)
    #expect(message(Laplace(0, -2)) == #"stage 1: site "z": scale must be positive, is -2.0 (particle 0)"#)
    #expect(message(Cauchy(0, -2)) == #"stage 1: site "z": scale must be positive, is -2.0 (particle 0)"#)
    #expect(
      message(StudentT(0)) == #"stage 1: site "z": degreesOfFreedom must be positive, is 0.0 (particle 0)"#)
    #expect(
      message(Dirichlet([1, 0])) == #"stage 1: site "z": concentration must be positive, is 0.0 (particle 0)"#
    )
    #expect(message(HalfCauchy(-1)) == #"stage 1: site "z": scale must be positive, is -1.0 (particle 0)"#)
    #expect(message(Weibull(-1, 1)) == #"stage 1: site "z": scale must be positive, is -1.0 (particle 0)"#)
    #expect(
      message(Weibull(1, 0)) == #"stage 1: site "z": concentration must be positive, is 0.0 (particle 0)"#)
    #expect(message(InverseGamma(1, 0)) == #"stage 1: site "z": rate must be positive, is 0.0 (particle 0)"#)
    #expect(
      message(VonMises(0, -1))
        == #"stage 1: site "z": concentration must be at least 0, is -1.0 (particle 0)"#
    )
    #expect(
      message(Binomial(2.5, logits: 0))
        == #"stage 1: site "z": totalCount must be a whole number, at least 0, is 2.5 (particle 0)"#)
    #expect(
      message(Binomial(2, probabilities: 1.5))
        == #"stage 1: site "z": probability must be between 0 and 1, is 1.5 (particle 0)"#)
    #expect(
      message(NegativeBinomial(mean: -1, concentration: 1))
        == #"stage 1: site "z": mean must be at least 0, is -1.0 (particle 0)"#)
    #expect(
      message(NegativeBinomial(0, logits: 1))
        == #"stage 1: site "z": concentration must be positive, is 0.0 (particle 0)"#)
    #expect(
      message(LKJ(3, 0)) == #"stage 1: site "z": concentration must be positive, is 0.0 (particle 0)"#)
    #expect(message(Poisson(-1)) == #"stage 1: site "z": rate must be at least 0, is -1.0 (particle 0)"#)
    #expect(
      message(TruncatedNormal(0, 1, low: 2, high: 1))
        == #"stage 1: site "z": high - low must be above 0, is -1.0 (particle 0)"#)
    #expect(
      message(Categorical(probabilities: [0.5, 0.25]))
        == #"stage 1: site "z": sum of the probabilities must be 1, is 0.75 (particle 0)"#)
    #expect(
      message(Multinomial(2, probabilities: [0.5, 0.25]))
        == #"stage 1: site "z": sum of the probabilities must be 1, is 0.75 (particle 0)"#)
    #expect(
      message(Multinomial(2.5, logits: [0, 1]))
        == #"stage 1: site "z": totalCount must be a whole number, at least 0, is 2.5 (particle 0)"#)
    #expect(
      message(MultivariateNormal([0, 0], choleskyFactor: Tensor([1, 0, 0.5, -1], shape: [2, 2])))
        == #"stage 1: site "z": diagonal of the Cholesky factor must be positive, is -1.0 (particle 0)"#)
    #expect(
      message(MultivariateNormal([0, 0], choleskyFactor: Tensor([1, 0.5, 0, 1], shape: [2, 2])))
        == #"stage 1: site "z": upper triangle of the Cholesky factor must be 0, is 0.5 (particle 0)"#)
    #expect(
      message(Normal(0, 1).scaled(by: -1))
        == #"stage 1: site "z": factor must be at least 0, is -1.0 (particle 0)"#)
    #expect(
      message(Normal(0, 1).transformed(by: Affine(0, 0).then(Exp())))
        == #"stage 1: site "z": scale must be other than 0, is 0.0 (particle 0)"#)
    #expect(
      message(Mixture(Categorical(logits: [0, 0]), of: Normal([0, 1], [1, 0])))
        == #"stage 1: site "z": scale must be positive, is 0.0 (particle 0)"#)
  }

  @Test(arguments: DrawTests.all)
  func goodParametersPass(_ test: DistributionCase) throws {
    func evaluated(_ distribution: some Distribution) throws {
      let kernel = Kernel { $0.sample("z", from: distribution) }
      _ = try evaluate(Self.plate(kernel), seed: 1, options: EvaluationOptions(checks: true))()
    }
    try evaluated(test.distribution)
    // Every parameter is replaced: nothing is tracked any more.
    let detached = test.distribution.mapParameters(\.detached)
    #expect(detached.sample(2).scalars == test.distribution.sample(2).scalars)
    #expect(detached.shape == test.distribution.shape)
  }

  /// Event axes that no shape has.
  @Test(arguments: [-1, 5, .min, .max]) func eventRanksThatNoShapeHas(_ rank: Int) {
    struct Odd: Distribution {
      let eventRank: Int
      var shape: Shape { [] }
      var parameters: [DistributionParameter] { [] }
      func sample(_ draw: Draw) -> Tensor { draw.normal() }
      func logProb(of value: Tensor, reducing: Int) -> Tensor { value }
      func mapParameters(_ transform: (Tensor) -> Tensor) -> Odd { self }
    }
    let one = Categorical(logits: [1])
    let (normal, delta, odd) = (Normal(0, 1).event(rank), Delta(1, eventRank: rank), Odd(eventRank: rank))
    let all: [any Distribution] = [
      normal, delta, odd, odd.expanded(to: [2]), Dirichlet([1, 1]).event(rank == -1 ? -3 : rank),
      GeneralMixture(one, of: [normal]), GeneralMixture(one, of: [delta]), GeneralMixture(one, of: [odd]),
      Mixture(one, of: Normal([0], 1).event(rank)), Mixture(one, of: Delta([1], eventRank: rank)),
      normal.transformed(by: Exp()), normal.transformed(by: LowerCholesky()), odd.transformed(by: Ordered()),
      normal.masked(true), normal.scaled(by: 2), normal.expanded(to: [2]),
      Bernoulli(probabilities: 0.5).event(rank),
    ]
    for distribution in all {
      func use(_ distribution: some Distribution) {
        _ = distribution.sample(1)
        _ = distribution.logProb(of: 1)
        _ = distribution.logProb(of: 1, reducing: .max)
        _ = distribution.event(.max).event(.max).logProb(of: [1, 2])
        _ = distribution.event(1).expanded(to: [2]).event(1).sample(1)
        #expect(throws: CoixError.self, "\(distribution)") {
          _ = try evaluate(Self.plate(Kernel { $0.sample("x", from: distribution) }), seed: 1)()
        }
        #expect(throws: CoixError.self, "\(distribution)") {
          let kernel = Kernel { trace in trace.plate("l", 2).sample("x", from: distribution) }
          _ = try evaluate(kernel, seed: 1)()
        }
        #expect(throws: CoixError.self, "\(distribution)") {
          _ = try enumerate(Kernel { $0.sample("x", from: distribution) })()
        }
      }
      use(distribution)
    }
  }

  @Test func maskThatIsNaN() {
    #expect(
      message(Normal(0, 1).masked(Tensor(.nan)))
        == #"stage 1: site "z": mask must be real, is nan (particle 0)"#)
  }

  /// What goes wrong in any of a distribution's tensors is found, and a landing is stuck to for all of them:
  /// both go through the parameters.
  @Test(arguments: ExtremeDistribution.all)
  func everyParameterIsMapped(_ test: ExtremeDistribution) {
    func check(_ distribution: some Distribution) {
      var mapped = 0
      _ = distribution.mapParameters { tensor in
        mapped += 1
        return tensor
      }
      #expect(mapped >= test.parameters.count)
    }
    check(test.distribution())
  }
}
