import Coix
import TestSupport

/// A distribution made at random, its parameters expressions that may have any value.
struct RandomDistribution: Sendable {
  private struct Family: Sendable {
    let name: String
    let make: @Sendable (_ a: Tensor, _ b: Tensor) -> any Distribution
  }

  private let family: Int
  private let parameters: (RandomExpression, RandomExpression)
  /// Whether the parameters are kept to where most distributions are what they should be.
  private let isTame: Bool
  /// What is made of the distribution: nothing in half of all cases.
  private let wrapper: Int

  private static let families: [Family] = [
    Family(name: "Normal") { Normal($0, $1) }, Family(name: "Normal, exp") { Normal($0, exp($1)) },
    Family(name: "LogNormal") { LogNormal($0, $1) }, Family(name: "HalfNormal") { _, b in HalfNormal(b) },
    Family(name: "Laplace") { Laplace($0, $1) }, Family(name: "Cauchy") { Cauchy($0, $1) },
    Family(name: "StudentT") { StudentT($0, 0, $1) }, Family(name: "Gamma") { Gamma($0, $1) },
    Family(name: "Gamma, exp") { Gamma(exp($0), exp($1)) }, Family(name: "Beta") { Beta($0, $1) },
    Family(name: "Beta, softplus") { Beta(softplus($0), softplus($1)) },
    Family(name: "Exponential") { _, b in Exponential(b) }, Family(name: "Uniform") { Uniform($0, $1) },
    Family(name: "TruncatedNormal") { TruncatedNormal($0, exp($1), low: 0) },
    Family(name: "TruncatedNormal between") { TruncatedNormal($0, 1, low: $0, high: $1) },
    Family(name: "Poisson") { a, _ in Poisson(a) },
    Family(name: "Bernoulli") { a, _ in Bernoulli(logits: a) },
    Family(name: "Categorical") { Categorical(logits: Tensor.stack([$0.sum(), $1.sum()])) },
    Family(name: "Categorical by probabilities") {
      Categorical(probabilities: Tensor.stack([sigmoid($0.sum()), $1.sum()]))
    },
    Family(name: "Multinomial") { Multinomial(abs($0.sum()).floor, logits: Tensor.stack([0, $1.sum()])) },
    Family(name: "Dirichlet") { Dirichlet(Tensor.stack([$0.sum(), softplus($1.sum()), 1])) },
    Family(name: "MultivariateNormal") {
      MultivariateNormal(Tensor.stack([$0.sum(), 0]), covariance: Tensor.identity(2) * $1.sum())
    },
    Family(name: "MultivariateNormal by factor") {
      MultivariateNormal($0, choleskyFactor: .identity(3) * exp($1))
    },
    Family(name: "mixture") {
      Mixture(Categorical(logits: Tensor.stack([$0.sum(), 0])), of: Normal([0, 1], $1.sum()))
    },
    Family(name: "general mixture") {
      GeneralMixture(Categorical(logits: [0, 1]), of: [Normal($0.sum(), 1), Exponential($1.sum())])
    },
    Family(name: "exp of Normal") { Normal($0, $1).transformed(by: Exp()) },
    Family(name: "affine of Laplace") { Laplace(0, 1).transformed(by: Affine($0, $1)) },
    Family(name: "sigmoid of Normal") { Normal($0, exp($1)).transformed(by: Sigmoid()) },
    Family(name: "ordered Normal") {
      Normal($0.sum(), exp($1.sum())).expanded(to: [3]).event(1).transformed(by: Ordered())
    },
    Family(name: "Delta") { Delta($0, logDensity: $1) },
  ]

  init(_ random: inout SplitMix) {
    family = Int.random(in: 0..<Self.families.count, using: &random)
    parameters = (
      RandomExpression(depth: Int.random(in: 0..<3, using: &random), &random),
      RandomExpression(depth: Int.random(in: 0..<3, using: &random), &random)
    )
    isTame = Int.random(in: 0..<8, using: &random) > 0
    wrapper = Int.random(in: 0..<10, using: &random)
  }

  /// The distribution, given the program's values so far.
  func distribution(_ values: [Tensor]) -> any Distribution {
    var (a, b) = (parameters.0.value(values), parameters.1.value(values))
    if isTame { (a, b) = (softplus(tanh(finite(a))), softplus(1 + tanh(finite(b)))) }
    return wrapped(Self.families[family].make(a, b))
  }

  /// The numbers that are finite, and 0 for others.
  private func finite(_ x: Tensor) -> Tensor { select(abs(x) .< .infinity, x, 0) }

  private func wrapped(_ distribution: some Distribution) -> any Distribution {
    // All axes are part of the event, as a site needs them.
    func joined(_ distribution: some Distribution) -> any Distribution {
      distribution.batchShape.rank == 0 ? distribution : distribution.event(distribution.batchShape.rank)
    }
    switch wrapper {
    case 0: return distribution
    case 1: return joined(distribution.masked(Tensor(0)))
    case 2: return joined(distribution.scaled(by: 0.5))
    case 3: return joined(distribution.expanded(to: Shape([2] + Array(distribution.batchShape))))
    case 4: return distribution.event(1)
    default: return joined(distribution)
    }
  }
}

extension RandomDistribution: CustomStringConvertible {
  var description: String {
    "\(Self.families[family].name)(\(parameters.0); \(parameters.1))\(wrapper < 5 ? ", wrapper \(wrapper)" : "")"
  }
}
