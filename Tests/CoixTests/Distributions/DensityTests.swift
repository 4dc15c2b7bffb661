import Coix
import Foundation
import Testing

/// Densities as densities: they integrate to 1, and are 0 outside of the support with gradients that are 0
/// and not NaN.
@Suite struct DensityTests {
  /// The sum of exp(log-density + log-weight) over points along the first axis.
  private func total(_ distribution: some Distribution, at points: Tensor, logWeights: [Double]) -> Double {
    let densities = distribution.logProb(of: points).scalars
    return zip(densities, logWeights).reduce(0) { $0 + exp(Double($1.0) + $1.1) }
  }

  /// By the midpoint rule over x = tan θ, which covers all numbers.
  @Test(arguments: DistributionCase.continuous)
  func densitiesIntegrateToOne(_ test: DistributionCase) {
    let count = 50_000
    let angles = (0..<count).map { number -> Double in ((Double(number) + 0.5) / Double(count) - 0.5) * .pi }
    let weights = angles.map { log(Double.pi / Double(count)) - 2 * log(cos($0)) }
    let points = Tensor(angles.map { Float(tan($0)) })
    #expect(abs(total(test.distribution, at: points, logWeights: weights) - 1) < 1e-3)
  }

  @Test(arguments: DistributionCase.discrete)
  func probabilitiesSumToOne(_ test: DistributionCase) {
    // Also the last number that a category can have.
    let last: Int = test.testDescription == "Categorical" ? 2 : test.testDescription == "Bernoulli" ? 1 : 200
    let points = Tensor((0...last).map(Float.init))
    #expect(
      abs(total(test.distribution, at: points, logWeights: (0...last).map { _ in 0 }) - 1) < 1e-5)
  }

  @Test func densitiesOfVectorsIntegrateToOne() {
    // The simplex of three components, by its first two.
    let cells = 200
    var points: [Float] = []
    for i in 0..<cells {
      for j in 0..<cells {
        let (x, y) = ((Float(i) + 0.5) / Float(cells), (Float(j) + 0.5) / Float(cells))
        points += [x, y, 1 - x - y]
      }
    }
    let simplex = Tensor(points, shape: [cells * cells, 3])
    let weights = [Double](repeating: -2 * log(Double(cells)), count: cells * cells)
    #expect(abs(total(Dirichlet([2, 3, 5]), at: simplex, logWeights: weights) - 1) < 1e-3)
    let softmax = Normal([0, 0.5], 1).event(1).transformed(by: SoftmaxCentered())
    #expect(abs(total(softmax, at: simplex, logWeights: weights) - 1) < 1e-3)

    // A square.
    var corners: [Float] = []
    for cell in 0..<cells * cells {
      for index in [cell / cells, cell % cells] {
        corners.append(20 * ((Float(index) + 0.5) / Float(cells) - 0.5))
      }
    }
    let square = Tensor(corners, shape: [cells * cells, 2])
    let areas = weights.map { $0 + 2 * log(20) }
    let normal = MultivariateNormal([1, -1], choleskyFactor: Tensor([1, 0, 0.5, 2], shape: [2, 2]))
    #expect(abs(total(normal, at: square, logWeights: areas) - 1) < 1e-4)
    let covariance = MultivariateNormal([1, -1], covariance: Tensor([1, 0.5, 0.5, 4.25], shape: [2, 2]))
    #expect(abs(total(covariance, at: square, logWeights: areas) - 1) < 1e-4)
    let ordered = Normal([0, 0], 0.5).event(1).transformed(by: Ordered())
    #expect(abs(total(ordered, at: square, logWeights: areas) - 1) < 1e-2)

    // Correlation matrices of three variables, and their factors, by the numbers below the diagonal.
    var (matrices, factors): ([Float], [Float]) = ([], [])
    let side = 40
    for cell in 0..<side * side * side {
      let x = [cell / side / side, cell / side % side, cell % side].map {
        2 * (Float($0) + 0.5) / Float(side) - 1
      }
      matrices += [1, x[0], x[1], x[0], 1, x[2], x[1], x[2], 1]
      let rest = max(1 - x[1] * x[1] - x[2] * x[2], 0)
      factors += [1, 0, 0, x[0], (1 - x[0] * x[0]).squareRoot(), 0, x[1], x[2], rest.squareRoot()]
    }
    let volumes = [Double](repeating: 3 * log(2 / Double(side)), count: side * side * side)
    let cube = Shape([volumes.count, 3, 3])
    let correlations = total(LKJ(3, 3), at: Tensor(matrices, shape: cube), logWeights: volumes)
    #expect(abs(correlations - 1) < 5e-3, "\(correlations)")
    let cholesky = total(LKJCholesky(3, 3), at: Tensor(factors, shape: cube), logWeights: volumes)
    #expect(abs(cholesky - 1) < 5e-3, "\(cholesky)")

    // All counts with sum 4.
    var counts: [Float] = []
    for a in 0...4 {
      for b in 0...4 - a { counts += [Float(a), Float(b), Float(4 - a - b)] }
    }
    let multinomial = Multinomial(4, probabilities: [0.2, 0.5, 0.3])
    let all = Tensor(counts, shape: [counts.count / 3, 3])
    let one = total(multinomial, at: all, logWeights: [Double](repeating: 0, count: counts.count / 3))
    #expect(abs(one - 1) < 1e-5)
  }

  @Test(arguments: DistributionCase.continuous + DistributionCase.discrete + DistributionCase.vectors)
  func nothingIsOutsideOfTheSupport(_ test: DistributionCase) throws {
    for value in test.outside {
      let result = try valueWithGradient(at: value) { value in
        let density = test.distribution.logProb(of: value)
        #expect(density.scalar == -.infinity, "at \(value)")
        return select(density .== -.infinity, 0, density)
      }
      // At infinities a normal density's gradient is NaN, as JAX's.
      guard value.scalars.allSatisfy(\.isFinite) else { continue }
      #expect(result.gradient.scalars.allSatisfy { $0 == 0 }, "at \(value)")
    }
  }

  /// The gradients to value, location and scale that JAX has for ((x - μ) / σ)² where it overflows; NaN where
  /// there is no number.
  @Test func normalDensitiesThatOverflow() throws {
    let infinity = Float.infinity
    let cases: [(x: [Float], gradient: [Float])] = [
      ([infinity, 0, 1], [-infinity, infinity, infinity]),
      ([-infinity, 0, 2], [infinity, -infinity, infinity]),
      ([1, infinity, 1], [infinity, -infinity, infinity]),
      ([1, 0, infinity], [0, 0, 0]),
      ([1e30, 0, 1], [-1e30, 1e30, infinity]),
      ([1, 0, 1e-30], [-infinity, infinity, infinity]),
    ]
    for (x, gradient) in cases {
      let result = try valueWithGradient(at: Tensor(x)) { Normal($0[1], $0[2]).logProb(of: $0[0]) }
      #expect(result.value == -.infinity)
      #expect(result.gradient.scalars == gradient, "at \(x)")
    }
    let both = try valueWithGradient(at: Tensor([infinity, infinity, 1])) {
      Normal($0[1], $0[2]).logProb(of: $0[0])
    }
    #expect(both.value.isNaN && both.gradient.scalars.allSatisfy(\.isNaN))
  }

  @Test func edges() {
    // Where a concentration of 1 leaves a density at the edge, and others none or infinity.
    #expect(Beta(1, 1).logProb(of: [0, 1]).scalars == [0, 0])
    #expect(Beta(2, 0.5).logProb(of: [0, 1]).scalars == [-.infinity, .infinity])
    #expect(Dirichlet([1, 1, 2]).logProb(of: [0, 0.5, 0.5]).scalar.isFinite)
    #expect(Dirichlet([2, 1, 2]).logProb(of: [0, 0.5, 0.5]).scalar == -.infinity)
    #expect(Poisson(0).logProb(of: [0, 1]).scalars == [0, -.infinity])
    #expect(Binomial(2, probabilities: [0, 1]).logProb(of: [0, 2]).scalars == [0, 0])
    #expect(Binomial(2, probabilities: [0, 1]).logProb(of: [1, 1]).scalars == [-.infinity, -.infinity])
    #expect(Binomial(2, logits: [-.infinity, .infinity]).logProb(of: [0, 2]).scalars == [0, 0])
    #expect(Binomial(0, probabilities: [0.3, 0, 1]).logProb(of: [0, 0, 0]).scalars == [0, 0, 0])
    #expect(NegativeBinomial(mean: 0, concentration: 2).logProb(of: [0, 1]).scalars == [0, -.infinity])
    #expect(NegativeBinomial(2, probabilities: 0).logProb(of: [0, 1]).scalars == [0, -.infinity])
    #expect(NegativeBinomial(2, logits: Tensor(-.infinity)).logProb(of: [0, 1]).scalars == [0, -.infinity])
    #expect(VonMises(0, 0).logProb(of: [-3, 0, 3]).scalars == [Float](repeating: -1.837_877, count: 3))
    #expect(VonMises(0, -1).logProb(of: 1).scalar.isNaN)
    #expect(VonMises(0, 1).logProb(of: [.pi, -.pi]).scalars.allSatisfy { $0.isFinite })
    #expect(Multinomial(2, probabilities: [0, 1]).logProb(of: [0, 2]).scalar == 0)
    #expect(Multinomial(2, logits: [-.infinity, 1]).logProb(of: [0, 2]).scalar == 0)
    #expect(TruncatedNormal(0, 1, low: 1).logProb(of: 1).scalar.isFinite, "bounds are in the support")
    let far = TruncatedNormal(0, 1, low: 20, high: 21).logProb(of: 20).scalar
    #expect(abs(far - 2.998_2) < 1e-3, "far from the mean nothing cancels: \(far)")
  }

  @Test func scaling() {
    let batch = Normal([0, 1], 1)
    #expect(batch.scaled(by: 2.5).logProb(of: 0.5).scalars == (2.5 * batch.logProb(of: 0.5)).scalars)
    let event = batch.event(1).scaled(by: 3)
    #expect(event.logProb(of: [1, 2]).scalar == 3 * batch.event(1).logProb(of: [1, 2]).scalar)
    // Inside of an event, each element by its own factor.
    let each = batch.scaled(by: [1, 2]).event(1).logProb(of: [1, 2]).scalar
    let terms = batch.logProb(of: [1, 2]).scalars
    #expect(abs(each - (terms[0] + 2 * terms[1])) < 1e-6)
    #expect(batch.scaled(by: 2).sample(3).scalars == batch.sample(3).scalars)
  }

  /// Weak correlations move the diagonals of factors by less than a float can tell. By 50-digit arithmetic,
  /// with diagonals that make rows of length 1.
  @Test func factorsOfWeakCorrelations() {
    let factor = Tensor([1, 0, 0, 1e-4, 1, 0, 2e-4, -3e-4, 1], shape: [3, 3])
    #expect(abs(LKJCholesky(3, 1e7).logProb(of: factor).scalar - 21.060_05) < 2e-4)
    let matrix = Tensor([1, 1e-4, 2e-4, 1e-4, 1, -3e-4, 2e-4, -3e-4, 1], shape: [3, 3])
    #expect(abs(LKJ(3, 1e7).logProb(of: matrix).scalar - 21.059_93) < 2e-4)
  }
}
