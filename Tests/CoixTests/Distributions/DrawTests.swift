import Coix
import Foundation
import Testing

/// Draws: their moments, the independence of a row's draw from its chunk, and gradients of draws.
@Suite struct DrawTests {
  static let all = DistributionCase.continuous + DistributionCase.discrete + DistributionCase.vectors

  /// Within five standard errors, of which the variance's is estimated from the draws.
  @Test(arguments: all.filter { !$0.mean.isEmpty })
  func moments(_ test: DistributionCase) throws {
    let count = 20_000
    let draws = try drawInPlate(test.distribution, 11, rows: count).scalars
    let width = test.mean.count
    #expect(draws.count == count * width)
    for component in 0..<width {
      let numbers = stride(from: component, to: draws.count, by: width).map { Double(draws[$0]) }
      let squares = numbers.map { ($0 - test.mean[component]) * ($0 - test.mean[component]) }
      let mean = numbers.reduce(0, +) / Double(count)
      let variance = squares.reduce(0, +) / Double(count)
      let spread = squares.reduce(0) { $0 + ($1 - variance) * ($1 - variance) } / Double(count)
      let root = Double(count).squareRoot()
      #expect(
        abs(mean - test.mean[component]) <= 5 * test.variance[component].squareRoot() / root + 1e-6,
        "mean \(mean) of component \(component)")
      #expect(
        abs(variance - test.variance[component]) <= 5 * spread.squareRoot() / root + 1e-6,
        "variance \(variance) of component \(component)")
    }
  }

  @Test(arguments: all)
  func drawsDoNotDependOnChunks(_ test: DistributionCase) throws {
    func bits(_ chunkRows: Int?) throws -> [UInt32] {
      try drawInPlate(test.distribution, 11, rows: 100, chunkRows: chunkRows).scalars.map(\.bitPattern)
    }
    let whole = try bits(nil)
    for chunkRows in [1, 7, 16, 48] { #expect(try bits(chunkRows) == whole) }
  }

  /// A plate's draws are those of the expanded distribution outside of plates, except where the number of
  /// rounds until all elements are accepted tells.
  @Test(arguments: all.filter { !["Poisson, large rate", "VonMises"].contains($0.testDescription) })
  func platesDrawAsExpansionsDo(_ test: DistributionCase) throws {
    let rows = try drawInPlate(test.distribution, 11, rows: 40, chunkRows: 16).scalars
    func expanded(_ distribution: some Distribution) -> [Float] {
      distribution.expanded(to: [40]).sample(11).scalars
    }
    for (row, outside) in zip(rows, expanded(test.distribution)) {
      #expect(abs(row - outside) <= 2e-6 * (1 + abs(outside)))
    }
  }

  /// More trials than are drawn at once; the first are NumPyro's numbers.
  @Test func manyTrials() throws {
    let probabilities = Tensor([0.2, 0.5, 0.3])
    let one = Multinomial(200_000, probabilities: probabilities).sample(11)
    #expect(one.scalars == [40_262, 100_218, 59_520])
    let two = Multinomial([100_000, 3], probabilities: probabilities).sample(11)
    #expect(two.scalars == [20_207, 50_157, 29_636, 1, 2, 0])
    // Row r of trial t has number 50 t + r.
    let trials = 5_000
    let uniform = Draw(key: 11, shape: [trials, 50]).uniform().scalars
    let rows = try drawInPlate(Multinomial(5_000, probabilities: [0.25, 0.75]), 11, rows: 50, chunkRows: 48)
    for row in 0..<50 {
      let count = Float((0..<trials).count { uniform[50 * $0 + row] > 0.25 })
      #expect(Array(rows.scalars[2 * row..<2 * row + 2]) == [5_000 - count, count])
    }
  }

  @Test(arguments: all)
  func drawsAreInTheSupport(_ test: DistributionCase) throws {
    let draws = try drawInPlate(test.distribution, 11, rows: 2_000)
    #expect(test.distribution.logProb(of: draws).scalars.allSatisfy { $0 > -.infinity })
  }

  /// Where what is drawn lies closer to an end of the support than any float.
  @Test func drawsStayInTheSupport() throws {
    func check(_ distribution: some Distribution, _ key: PRNGKey = 12) throws {
      let draws = try drawInPlate(distribution, key, rows: 10_000)
      #expect(distribution.logProb(of: draws).scalars.allSatisfy { $0.isFinite })
    }
    // The uniform number of row 9,926 is 0.
    try check(Exponential(1), 46)
    try check(Gamma(0.01, 1))
    try check(Normal(0, 20).transformed(by: Tanh()))
    try check(Normal(0, 50).transformed(by: Sigmoid()))
    try check(HalfCauchy(1e38))
    try check(HalfCauchy(1e-38))
    try check(Weibull(1, 0.01))
    try check(Weibull(1e-30, 0.02))
    try check(Weibull(3, 1e7))
    try check(InverseGamma(0.01, 1))
    try check(InverseGamma(1e-3, 1e30))
    try check(InverseGamma(1e10, 1e-30))
    try check(VonMises(3, 1e8))
    try check(VonMises(-1e6, 1e-10))
    try check(VonMises(1, 0))
    try check(Binomial(1e7, probabilities: 0.3))
    try check(Binomial(1, logits: -50))
    try check(NegativeBinomial(mean: 1e-3, concentration: 1e-3))
    try check(NegativeBinomial(mean: 3, concentration: 1e30))
    try check(LKJCholesky(4, 0.01))
    try check(LKJCholesky(4, 1e5))
    try check(LKJ(4, 1e5))
  }

  /// The same in programs: log-probabilities in a plate are those outside of it.
  @Test(arguments: all)
  func densitiesInPlates(_ test: DistributionCase) throws {
    func evaluated(_ distribution: some Distribution) throws -> (values: Tensor, densities: Tensor) {
      let plate = Plate("row", count: 50, chunkRows: 16)
      let trace = try evaluate(plate(Kernel { $0.sample("x", from: distribution) }), seed: 3)().trace
      let site = try #require(trace.sites.first)
      return (site.value, site.logProb)
    }
    let (values, densities) = try evaluated(test.distribution)
    for (plated, outside) in zip(densities.scalars, test.distribution.logProb(of: values).scalars) {
      #expect(abs(plated - outside) <= 5e-6 * (1 + abs(outside)))
    }
  }

  /// d E[x] / d α = 1 and d E[x²] / d α = 2α + 1 for gamma draws: implicit gradients are unbiased.
  @Test(arguments: [0.3, 1, 4.5, 1_500] as [Float])
  func gammaGradientsAreUnbiased(_ alpha: Float) throws {
    let count = 20_000
    func gradient(_ power: Float) throws -> Double {
      let result = try valueWithGradient(at: Tensor(alpha)) { alpha in
        pow(try drawInPlate(Gamma(alpha, 1), 5, rows: count), power).mean()
      }
      return Double(result.gradient.scalar)
    }
    // The spread of a single derivative is about its size, times 1/√α for large α.
    #expect(abs(try gradient(1) - 1) < 0.05)
    #expect(abs(try gradient(2) - (2 * Double(alpha) + 1)) < 0.05 * (2 * Double(alpha) + 1))
  }

  /// Gradients in a plate, summed over its rows, are those outside of it.
  @Test func gradientsInPlates() throws {
    let parameters: [Tensor] = [Tensor(0.7), Tensor(2.5)]
    func check(_ make: ([Tensor]) -> some Distribution) throws {
      let inside = try valueWithGradient(at: parameters) { parameters in
        try drawInPlate(make(parameters), 7, rows: 40, chunkRows: 16).sum()
      }
      let outside = try valueWithGradient(at: parameters) { make($0).expanded(to: [40]).sample(7).sum() }
      for (found, expected) in zip(inside.gradient, outside.gradient) {
        #expect(abs(found.scalar - expected.scalar) <= 1e-4 * (1 + abs(expected.scalar)))
      }
    }
    try check { Gamma($0[0], $0[1]) }
    try check { Beta($0[0], $0[1]) }
    try check { StudentT($0[1], $0[0]) }
    try check { Dirichlet(.stack([$0[0], $0[1], 1])).transformed(by: Affine(0, [1, 2, 3])) }
    try check { TruncatedNormal($0[0], $0[1], low: -1, high: 3) }
    try check { HalfCauchy($0[0]) }
    try check { Weibull($0[0], $0[1]) }
    try check { InverseGamma($0[0], $0[1]) }
    try check { InverseGamma($0[1], $0[0]) }
    try check { LKJCholesky(3, $0[0]).transformed(by: Affine(0, $0[1])) }
    try check { MultivariateNormal(.stack($0), choleskyFactor: $0[1] * .identity(2)) }
    try check { Normal(.stack($0), $0[1]).event(1).transformed(by: Ordered()) }
  }

  /// Ten million trials: what a binomial count is made of has more digits than a float.
  @Test func binomialCountsOfManyTrials() throws {
    let (n, p, count) = (1e7, 0.3, 20_000)
    for seed in 0..<3 {
      let key = PRNGKey(seed: seed)
      let counts = try drawInPlate(Binomial(1e7, probabilities: 0.3), key, rows: count).scalars.map(
        Double.init)
      let mean = counts.reduce(0, +) / Double(count)
      let variance = counts.reduce(0) { $0 + ($1 - n * p) * ($1 - n * p) } / Double(count)
      let exact = n * Double(Float(p)) * (1 - p)
      #expect(abs(mean - n * Double(Float(p))) < 5 * (exact / Double(count)).squareRoot())
      #expect(abs(variance / exact - 1) < 5 * (2 / Double(count)).squareRoot())
    }
  }

  /// The mean of cos x is I₁(κ) / I₀(κ), and that of sin x is 0: of large κ close to 1 - 1/(2κ) and 1/κ for
  /// the variance.
  @Test(arguments: [(1e-3, 5e-4), (1, 0.446_389_966), (20, 0.974_670_8)] as [(Float, Double)])
  func vonMisesDraws(_ kappa: Float, _ length: Double) throws {
    let count = 20_000
    let angles = try drawInPlate(VonMises(0, Tensor(kappa)), 3, rows: count).scalars.map(Double.init)
    let (cosines, sines) = (angles.map { cos($0) }, angles.map { sin($0) })
    let variance = cosines.map { ($0 - length) * ($0 - length) }.reduce(0, +) / Double(count)
    #expect(abs(cosines.reduce(0, +) / Double(count) - length) < 5 * (variance / Double(count)).squareRoot())
    #expect(
      abs(sines.reduce(0, +) / Double(count)) < 5 * ((1 - length * length) / Double(count)).squareRoot())
  }

  /// Close around the location, where single precision would have no digits left, draws are normal.
  @Test func concentratedVonMisesDraws() throws {
    let count = 20_000
    let numbers = try drawInPlate(VonMises(0, 1e12), 3, rows: count).scalars.map { Double($0) * 1e6 }
    let squares = numbers.map { $0 * $0 }.reduce(0, +) / Double(count)
    let fourths = numbers.map { $0 * $0 * $0 * $0 }.reduce(0, +) / Double(count)
    #expect(abs(squares - 1) < 5 * (2 / Double(count)).squareRoot())
    #expect(abs(fourths - 3) < 5 * (96 / Double(count)).squareRoot())
  }
}
