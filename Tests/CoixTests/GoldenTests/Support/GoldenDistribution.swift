import Coix

/// A case's distribution: a family by name, then steps that expand, mask or make event axes.
struct GoldenDistribution: Sendable {
  private enum Step {
    case expand([Int])
    case event(Int)
    case mask(Tensor)
  }

  private let family: @Sendable (Parameters) throws -> any Distribution
  private let steps: [Step]

  /// Parameters by name.
  struct Parameters {
    let tensors: [String: Tensor]
    func callAsFunction(_ name: String) throws -> Tensor { try tensors.entry(name) }
  }

  private static let families: [String: @Sendable (Parameters) throws -> any Distribution] = [
    "Beta": { Beta(try $0("concentration1"), try $0("concentration0")) },
    "Cauchy": { Cauchy(try $0("loc"), try $0("scale")) },
    "Dirichlet": { Dirichlet(try $0("concentration")) },
    "Exponential": { Exponential(try $0("rate")) },
    "HalfNormal": { HalfNormal(try $0("scale")) },
    "Laplace": { Laplace(try $0("loc"), try $0("scale")) },
    "LogNormal": { LogNormal(try $0("loc"), try $0("scale")) },
    "MultivariateNormal": { MultivariateNormal(try $0("loc"), choleskyFactor: try $0("scale_tril")) },
    "MultivariateNormalCovariance": {
      MultivariateNormal(try $0("loc"), covariance: try $0("covariance_matrix"))
    },
    "StudentT": { StudentT(try $0("df"), try $0("loc"), try $0("scale")) },
    "Normal": { Normal(try $0("loc"), try $0("scale")) },
    "Uniform": { Uniform(try $0("low"), try $0("high")) },
    "Gamma": { Gamma(try $0("concentration"), try $0("rate")) },
    "BernoulliProbs": { Bernoulli(probabilities: try $0("probs")) },
    "BernoulliLogits": { Bernoulli(logits: try $0("logits")) },
    "CategoricalProbs": { Categorical(probabilities: try $0("probs")) },
    "CategoricalLogits": { Categorical(logits: try $0("logits")) },
    "Delta": { Delta(try $0("v"), logDensity: try $0("log_density")) },
    "DeltaEvent": { Delta(try $0("v"), logDensity: try $0("log_density"), eventRank: 1) },
    "Unit": { Unit(try $0("log_factor")) },
    "HalfCauchy": { HalfCauchy(try $0("scale")) },
    "Weibull": { Weibull(try $0("scale"), try $0("concentration")) },
    "InverseGamma": { InverseGamma(try $0("concentration"), try $0("rate")) },
    "VonMises": { VonMises(try $0("loc"), try $0("concentration")) },
    "BinomialProbs": { Binomial(try $0("total_count"), probabilities: try $0("probs")) },
    "BinomialLogits": { Binomial(try $0("total_count"), logits: try $0("logits")) },
    "NegativeBinomial2": { NegativeBinomial(mean: try $0("mean"), concentration: try $0("concentration")) },
    "NegativeBinomialProbs": { NegativeBinomial(try $0("total_count"), probabilities: try $0("probs")) },
    "NegativeBinomialLogits": { NegativeBinomial(try $0("total_count"), logits: try $0("logits")) },
    "LKJCholesky2": { LKJCholesky(2, try $0("concentration")) },
    "LKJCholesky3": { LKJCholesky(3, try $0("concentration")) },
    "LKJCholesky5": { LKJCholesky(5, try $0("concentration")) },
    "LKJ2": { LKJ(2, try $0("concentration")) },
    "LKJ3": { LKJ(3, try $0("concentration")) },
    "LKJ5": { LKJ(5, try $0("concentration")) },
  ]

  init(_ golden: GoldenCase) throws {
    let name = try golden.field("distribution")
    guard let family = Self.families[name] else {
      throw GoldenError("\(golden.name): no distribution \(name)")
    }
    self.family = family
    guard let steps = golden.fields["steps"]?.array else { throw GoldenError("\(golden.name): no steps") }
    self.steps = try steps.map { step in
      guard let parts = step.array, parts.count == 2 else {
        throw GoldenError("\(golden.name): a step is no pair")
      }
      switch (parts[0].string, parts[1]) {
      case ("expand", .array(let sizes)): return .expand(sizes.compactMap(\.integer))
      case ("to_event", let count):
        guard let count = count.integer else { throw GoldenError("\(golden.name): to_event of no number") }
        return .event(count)
      case ("mask", let mask): return .mask(try Self.mask(mask))
      default: throw GoldenError("\(golden.name): unknown step \(parts)")
      }
    }
  }

  /// A mask of nested lists.
  private static func mask(_ json: JSON) throws -> Tensor {
    if let isCounted = json.bool { return Tensor(isCounted ? 1 : 0) }
    guard let parts = json.array else { throw GoldenError("a mask is neither true, false nor a list") }
    return Tensor.stack(try parts.map(mask))
  }

  /// The distribution with given parameters.
  func make(_ parameters: [String: Tensor]) throws -> any Distribution {
    steps.reduce(try family(Parameters(tensors: parameters))) { distribution, step in
      switch step {
      case .expand(let sizes): Self.expanded(distribution, Shape(sizes))
      case .event(let count): Self.event(distribution, count)
      case .mask(let mask): Self.masked(distribution, mask)
      }
    }
  }

  private static func expanded(_ distribution: some Distribution, _ shape: Shape) -> any Distribution {
    distribution.expanded(to: shape)
  }
  private static func event(_ distribution: some Distribution, _ count: Int) -> any Distribution {
    distribution.event(count)
  }
  private static func masked(_ distribution: some Distribution, _ mask: Tensor) -> any Distribution {
    distribution.masked(mask)
  }

  /// The axes that are drawn beyond the distribution's own.
  func sampleShape(_ golden: GoldenCase) throws -> [Int] {
    guard let sizes = golden.fields["sample_shape"]?.array else {
      throw GoldenError("\(golden.name): no sample_shape")
    }
    return sizes.compactMap(\.integer)
  }

  /// How near draws must be: as those of the sampler behind them.
  func drawTolerance(_ golden: GoldenCase) throws -> Tolerance {
    switch try golden.field("distribution") {
    case "Uniform": .uniformRange
    case "Exponential", "HalfNormal", "Laplace", "LogNormal", "MultivariateNormal", "Normal": .draw
    case "Beta", "Cauchy", "Dirichlet", "Gamma", "HalfCauchy", "InverseGamma", "StudentT", "Weibull":
      .gammaDraw
    case "VonMises", "LKJCholesky2", "LKJCholesky3", "LKJCholesky5", "LKJ2", "LKJ3", "LKJ5": .mixed(2e-5)
    default: .exact
    }
  }

  /// How near their pathwise gradients must be.
  func drawGradientTolerance(_ golden: GoldenCase) throws -> Tolerance {
    switch try golden.field("distribution") {
    case "Beta", "Dirichlet", "Gamma", "InverseGamma", "StudentT": .gammaDrawGradient
    case "LKJCholesky2", "LKJCholesky3", "LKJCholesky5", "LKJ2", "LKJ3", "LKJ5": .gammaDrawGradient
    default: .densityGradient
    }
  }
}
