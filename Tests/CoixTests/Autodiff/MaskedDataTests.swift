import Coix
import Testing

/// Missing data, NaN under a mask, do not reach gradients: they are those with any legal numbers in their
/// place.
@Suite struct MaskedDataTests {
  /// A distribution of four rows by a covariate, which may be NaN, and a parameter.
  struct Family: Sendable, CustomTestStringConvertible {
    let testDescription: String
    /// What a legal value of one row is.
    let value: [Float]
    let make: @Sendable (_ x: Tensor, _ parameter: Tensor) -> any Distribution

    init(
      _ name: String, _ value: [Float], _ make: @escaping @Sendable (Tensor, Tensor) -> any Distribution
    ) {
      (testDescription, self.value, self.make) = (name, value, make)
    }
  }

  /// A factor of 2 x 2 for each row.
  private static func factor(_ x: Tensor, _ p: Tensor) -> Tensor {
    x.expandingAxis(at: -1).expandingAxis(at: -1) * (Tensor([1, 0, 0.5, 1], shape: [2, 2]) * p)
  }

  private static func vectors(_ x: Tensor, _ p: Tensor) -> Tensor {
    x.expandingAxis(at: -1) * p * Tensor([1, 2])
  }

  static let families: [Family] = [
    Family("Normal", [0.5]) { Normal($0 * $1, $1 + $0) },
    Family("LogNormal", [0.5]) { LogNormal($0 * $1, $0) },
    Family("HalfNormal", [0.5]) { HalfNormal($0 * $1) }, Family("Uniform", [0.1]) { Uniform(0, $0 + $1) },
    Family("TruncatedNormal", [0.5]) { TruncatedNormal($0 * $1, $0, low: 0, high: $0 + 2) },
    Family("Gamma", [0.5]) { Gamma($0 * $1, $0) },
    Family("InverseGamma", [0.5]) { InverseGamma($0 * $1, $0) },
    Family("Beta", [0.5]) { Beta($0 * $1, $0) }, Family("Exponential", [0.5]) { Exponential($0 * $1) },
    Family("Laplace", [0.5]) { Laplace($0 * $1, $0) }, Family("Cauchy", [0.5]) { Cauchy($0 * $1, $0) },
    Family("HalfCauchy", [0.5]) { HalfCauchy($0 * $1) },
    Family("StudentT", [0.5]) { StudentT($0 * $1, $0, $0) },
    Family("Weibull", [0.5]) { Weibull($0 * $1, $0) }, Family("VonMises", [0.5]) { VonMises($0, $0 * $1) },
    Family("Poisson", [2]) { Poisson($0 * $1) }, Family("Bernoulli", [1]) { Bernoulli(logits: $0 * $1) },
    Family("Bernoulli by probability", [1]) { Bernoulli(probabilities: sigmoid($0 * $1)) },
    Family("Binomial", [2]) { Binomial(3, logits: $0 * $1) },
    Family("NegativeBinomial", [2]) { NegativeBinomial(mean: $0 * $1, concentration: $0) },
    Family("Categorical", [1]) { Categorical(logits: vectors($0, $1)) },
    Family("Categorical by probability", [1]) {
      Categorical(probabilities: vectors($0, $1).softmax(axis: -1))
    },
    Family("Dirichlet", [0.25, 0.75]) { Dirichlet(vectors($0, $1)) },
    Family("Multinomial", [1, 2]) { Multinomial(3, logits: vectors($0, $1)) },
    Family("MultivariateNormal", [0.5, 1]) {
      MultivariateNormal(vectors($0, $1), choleskyFactor: factor($0, $1))
    },
    Family("MultivariateNormal of a shared factor", [0.5, 1]) {
      MultivariateNormal(vectors($0, $1), choleskyFactor: factor(1, $1).reshaped(to: [2, 2]))
    },
    Family("MultivariateNormal by covariance", [0.5, 1]) {
      let factor = factor($0, $1)
      let transposed = factor.transposed(permutation: [0, 2, 1])
      let products = factor.expandingAxis(at: -1) * transposed.expandingAxis(at: 1)
      return MultivariateNormal(vectors($0, $1), covariance: products.sum(axis: 2))
    },
    Family("LKJCholesky", [1, 0, 0.6, 0.8]) { LKJCholesky(2, $0 * $1) },
    Family("LKJ", [1, 0.6, 0.6, 1]) { LKJ(2, $0 * $1) },
    Family("Mixture", [0.5]) {
      Mixture(Categorical(logits: vectors($0, $1)), of: Normal(vectors($0, $1), $0.expandingAxis(at: -1)))
    },
    Family("Exp of Normal", [0.5]) { Normal($0 * $1, $0).transformed(by: Exp()) },
    Family("Affine of Normal", [0.5]) { Normal($1, 1).expanded(to: [4]).transformed(by: Affine($0, $0)) },
    Family("Ordered", [0.5, 1]) {
      Normal(vectors($0, $1), 1).transformed(by: Ordered())
    },
  ]

  @Test(arguments: families) func densities(_ family: Family) throws {
    let shape = family.make(1 + Tensor.zeros([4]), 1).eventShape
    func gradient(_ x: Float, _ value: Float?) throws -> [[Float]] {
      let rows = (0..<4).flatMap { row in
        row == 1 ? family.value.map { value ?? $0 } : family.value
      }
      return try valueWithGradient(at: [Tensor(1.25), Tensor([1, x, 1.5, 0.75]), Tensor(0)]) { parameters in
        func density(_ distribution: some Distribution) -> Tensor {
          distribution.masked([1, 0, 1, 1]).logProb(
            of: Tensor(rows, shape: Shape([4]).appending(shape)) + parameters[2])
        }
        return density(family.make(parameters[1], parameters[0])).sum()
      }.gradient.map(\.scalars)
    }
    let expected = try gradient(1, nil)
    #expect(
      expected.joined().allSatisfy(\.isFinite) && expected[0] != [0] || family.testDescription == "Uniform")
    #expect(expected[1][1] == 0)
    #expect(try gradient(.nan, nil) == expected, "the covariate")
    #expect(try gradient(1, .nan) == expected, "the data")
    #expect(try gradient(.nan, .nan) == expected, "both")
  }

  /// In a program, through layers and products: rows of a plate of data within particles.
  @Test(arguments: [false, true]) func programs(_ isMatmul: Bool) throws {
    let (particles, points) = (Plate("particle", count: 5), Plate("point", count: 40, chunkRows: 16))
    let isMissing = (0..<40).map { $0 % 3 == 1 }
    let mask = Tensor(isMissing.map { $0 ? 0 : 1 })
    func data(_ count: Int, _ standIn: Float) -> Tensor {
      let numbers = (0..<40 * count).map { isMissing[$0 / count] ? standIn : Float($0 % 7) / 4 - 0.5 }
      return Tensor(numbers, shape: [40, count])
    }
    let parameters = [
      Tensor([0.5, -0.25, 1, 0.75, -1, 0.125], shape: [3, 2]), Tensor([0.5, 1]),
      Tensor([1, 0, 0.5, 2], shape: [2, 2]),
    ]
    func gradient(_ standIn: Float) throws -> [[Float]] {
      try valueWithGradient(at: parameters) { parameters in
        let model = Model { (trace, x: Tensor, y: Tensor, mask: Tensor) in
          let z = trace.sample("z", from: Normal(0, 1))
          let hidden =
            isMatmul
            ? matmul(x, parameters[0]) + parameters[1]
            : dense(x, kernel: parameters[0], bias: parameters[1], activation: .softplus)
          let factor = parameters[2] * exp(0.1 * dot(x, x))
          trace.observe("y", y, from: MultivariateNormal(hidden + z, choleskyFactor: factor).masked(mask))
        }
        let proposal = Kernel { (trace, _: Tensor, _: Tensor, _: Tensor) in
          _ = trace.sample("z", from: Normal(parameters[1][0], 1))
        }
        let plates = { (x: Model<Tuple<Tensor, Tensor, Tensor>, Tuple<>>) in particles(points(x)) }
        let inference = propose(plates(model), particles(points(proposal)), loss: .iwae)
        return try evaluate(inference, seed: 3)(
          points.mapped(data(3, standIn)), points.mapped(data(2, standIn)), points.mapped(mask)
        ).metrics.loss
      }.gradient.map(\.scalars)
    }
    let expected = try gradient(0.25)
    #expect(expected.joined().allSatisfy(\.isFinite) && expected.allSatisfy { $0.contains { $0 != 0 } })
    #expect(try gradient(.nan) == expected)
  }
}
