import Coix
import Testing

/// Log-densities, gradients and draws where naive formulas overflow, cancel or meet 0 · ∞. Numbers are closed
/// forms, or by mpmath with 50 digits.
@Suite struct ExtremeDensityTests {
  private func expectDensity(
    _ distribution: some Distribution, at value: Tensor, _ expected: Float,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let found = distribution.logProb(of: value).scalar
    #expect(
      found == expected || abs(found - expected) <= 2 * expected.ulp, "\(found)",
      sourceLocation: sourceLocation)
  }

  private func gradient(
    at parameters: Tensor, _ body: (Tensor) throws -> Tensor
  ) throws -> [Float] {
    try valueWithGradient(at: parameters) { try body($0) }.gradient.scalars
  }

  private func isNear(_ found: [Float], _ expected: [Float], _ tolerance: Float = 1e-6) -> Bool {
    found.count == expected.count
      && zip(found, expected).allSatisfy { $0 == $1 || abs($0 - $1) <= tolerance * abs($1) }
  }

  /// Differences and reciprocals that no float holds, on the way to a log-density that one does.
  @Test func normalsAtTheEndsOfTheFloats() throws {
    expectDensity(Normal(1e38, 1e38), at: -3e38, -96.417_17)
    expectDensity(Normal(0, 1e-45), at: 0, 102.359_99)
    expectDensity(LogNormal(0, 1e-45), at: 1, 102.359_99)
    expectDensity(HalfNormal(1e-45), at: 1e-45, 102.553_14)
    let slopes = try gradient(at: [1e38, 1e38]) { Normal($0[0], $0[1]).logProb(of: -3e38) }
    #expect(isNear(slopes, [-4e-38, 1.5e-37]))
    // A row of its own among others, and vectors.
    let rows = Normal(Tensor([0, 1e38]), Tensor([1, 1e38])).logProb(of: Tensor([0, -3e38])).scalars
    #expect(isNear(rows, [-0.918_938_53, -96.417_17]))
    expectDensity(Normal(1e38, 1e38).expanded(to: [2]).event(1), at: [-3e38, -3e38], -192.834_34)
  }

  @Test func squaresAndWidthsThatOverflow() throws {
    expectDensity(Cauchy(0, 1), at: 1e20, -93.248_134)
    expectDensity(Cauchy(0, 1), at: 1e30, -139.299_84)
    expectDensity(Cauchy(0, 1e-20), at: 1, -47.196_432)
    expectDensity(StudentT(1, 0, 1), at: 1e30, -139.299_84)
    expectDensity(Uniform(-3e38, 3e38), at: 0, -89.289_993)
    expectDensity(Laplace(0, 2e38), at: 0, -88.884_53)
    #expect(isNear(try gradient(at: 1) { Cauchy(0, $0).logProb(of: 1e20) }, [1]))
    #expect(isNear(try gradient(at: 1) { Cauchy(0, $0).logProb(of: 1e30) }, [1]))
    #expect(isNear(try gradient(at: 1e-20) { Cauchy(0, $0).logProb(of: 1) }, [1e20]))
    let draws = Uniform(-3e38, 3e38).expanded(to: [1_000]).sample(1)
    #expect(draws.scalars.allSatisfy { abs($0) <= 3e38 })
    #expect(draws.scalars.contains { $0 < -1e38 } && draws.scalars.contains { $0 > 1e38 })
  }

  @Test func differencesOfLogGammas() throws {
    expectDensity(StudentT(1e7), at: 1, -1.418_938_5)
    expectDensity(StudentT(1e38), at: 1, -1.418_938_5)
    expectDensity(Poisson(1e7), at: 1e7, -8.977_986)
    expectDensity(Gamma(1e7, 1e7), at: 1, 7.140_109_2)
    expectDensity(Beta(1e5, 1e5), at: 0.5, 5.877_243_7)
    let dirichlet = Dirichlet([1e7, 1e7]).logProb(of: [0.5, 0.5]).scalar
    #expect(dirichlet == Beta(1e7, 1e7).logProb(of: 0.5).scalar)
    // (2n choose n) / 4^n = (1 - 1 / (8n)) / √(πn) with n = 5e6.
    for multinomial in [
      Multinomial(1e7, probabilities: [0.5, 0.5]), Multinomial(1e7, logits: [3, 3]),
    ] {
      let found = multinomial.logProb(of: [5e6, 5e6]).scalar
      #expect(abs(found + 8.284_839_2) < 1e-6, "\(found)")
    }
    #expect(isNear(try gradient(at: 1e7) { Gamma($0, 1e7).logProb(of: 1) }, [5e-8], 1e-6))
    #expect(isNear(try gradient(at: 1e5) { Beta($0, 1e5).logProb(of: 0.5) }, [2.500_006e-6], 1e-6))
  }

  @Test func edges() throws {
    #expect(isNear(try gradient(at: 8) { Beta(1, $0).logProb(of: 0) }, [0.125]))
    #expect(isNear(try gradient(at: 8) { Beta($0, 1).logProb(of: 1) }, [0.125]))
    #expect(isNear(try gradient(at: 0) { Beta(1, 8).logProb(of: $0) }, [-7]))
    let dirichlet = try gradient(at: [1, 8]) { Dirichlet($0).logProb(of: [0, 1]) }
    let beta = try gradient(at: [1, 8]) { Beta($0[0], $0[1]).logProb(of: 0) }
    #expect(isNear(dirichlet, beta) && beta[0].isFinite)
    // Where the density is infinite, or 0, there is none.
    for concentration: Float in [0.5, 2] {
      let result = try valueWithGradient(at: Tensor([concentration, 8])) { Beta($0[0], $0[1]).logProb(of: 0) }
      #expect(result.value == (concentration < 1 ? .infinity : -.infinity))
      #expect(result.gradient.scalars == [0, 0])
    }
    let uniform = try gradient(at: [1, 3]) { Uniform($0[0], $0[1]).logProb(of: 3) }
    #expect(isNear(uniform, [0.5, -0.5]))
  }

  @Test(arguments: [Float.infinity, -.infinity])
  func infiniteLogits(_ logit: Float) throws {
    let likely: Float = logit > 0 ? 1 : 0
    let bernoulli = Bernoulli(logits: logit)
    expectDensity(bernoulli, at: Tensor(likely), 0)
    expectDensity(bernoulli, at: Tensor(1 - likely), -.infinity)
    #expect(try gradient(at: Tensor(logit)) { Bernoulli(logits: $0).logProb(of: Tensor(likely)) } == [0])
    #expect(bernoulli.expanded(to: [100]).sample(1).scalars.allSatisfy { $0 == likely })
    let logits = Tensor([-.infinity, 0, 1])
    let categorical = try valueWithGradient(at: logits) { Categorical(logits: $0).logProb(of: 1) }
    #expect(abs(categorical.value + 1.313_261_7) < 1e-6)
    #expect(isNear(categorical.gradient.scalars, [0, 0.731_058_6, -0.731_058_6]))
    #expect(Categorical(logits: logits).logProb(of: 0).scalar == -.infinity)
    let counts = try valueWithGradient(at: logits) { Multinomial(2, logits: $0).logProb(of: [0, 1, 1]) }
    #expect(isNear(counts.gradient.scalars, [0, 0.462_117_2, -0.462_117_2]))
  }

  @Test func logitsFarFromZero() {
    // log(1 / (1 + exp(-20))): a difference of 20 and log(1 + exp(20)) would leave nothing.
    expectDensity(Bernoulli(logits: 20), at: 1, -2.061_153_6e-9)
    expectDensity(Bernoulli(logits: -20), at: 0, -2.061_153_6e-9)
  }

  @Test func truncatedFarInATail() throws {
    expectDensity(TruncatedNormal(2, 1e-4, low: 0, high: 1), at: 1, 18.420_68)
    expectDensity(TruncatedNormal(0, 1, low: 1e4), at: 1e4, 9.210_340_4)
    #expect(isNear(try gradient(at: 0) { TruncatedNormal($0, 1, low: 1e4).logProb(of: 1e4) }, [-1e-4], 1e-5))
    for scale: Float in [0.01, 1e-4] {
      let result = try valueWithGradient(at: Tensor(2)) {
        TruncatedNormal($0, scale, low: 0, high: 1).sample(PRNGKey(5))
      }
      // Far in a tail a draw moves with the mean by its distance from the bound, 1 - x, before it is rounded;
      // it is rounded to one of the two floats below the bound, at most 1.2e-7 away.
      #expect(
        abs(result.gradient.scalar - (1 - result.value)) < 1e-2 * (1 - result.value) + 1.2e-7,
        "\(result.gradient.scalar) at \(result.value)")
      #expect(result.gradient.scalar > 0)
    }
  }

  @Test func subnormalImages() throws {
    let images = Normal(0, 50).transformed(by: Softplus())
    #expect(abs(images.logProb(of: 1.4e-45).scalar - 96.31) < 0.01)
    for y: Float in [1e-37, 1e-20, 1e-4, 9.9e-4, 1.1e-3, 1] {
      #expect(isNear([Softplus().forward(Softplus().inverse(Tensor(y))).scalar], [y], 2e-5))
    }
    #expect(Tanh().inverse(1e-44).scalar == 1e-44)
    #expect(abs(Sigmoid().inverse(1e-44).scalar - Exp().inverse(1e-44).scalar) < 1e-5)
  }

  @Test func maskedDataDoNotPoison() throws {
    let parameters: Tensor = [0, 1]
    let masked = try valueWithGradient(at: parameters) {
      Normal($0[0], $0[1]).expanded(to: [3]).masked([1, 0, 1]).logProb(of: [1, .nan, 2]).sum()
    }
    #expect(masked.gradient.scalars == [3, 3])
    let families: [@Sendable (Tensor) -> any Distribution] = [
      { Cauchy($0, 1) }, { Laplace($0, 1) }, { StudentT(3, $0, 1) }, { LogNormal($0, 1) }, { Gamma($0, 1) },
      { Beta($0, 1) }, { Exponential($0) }, { Poisson($0) }, { Bernoulli(logits: $0) }, { HalfNormal($0) },
      { TruncatedNormal($0, 1, low: 0) }, { Uniform(-1, 1 + $0) },
      { Normal($0, 1).transformed(by: Softplus()) }, { Normal($0, 1).transformed(by: Sigmoid()) },
      { Mixture(Categorical(logits: [0, 1]), of: Normal(Tensor.stack([$0, $0 + 1], axis: -1), 1)) },
    ]
    for (number, family) in families.enumerated() {
      func slope(_ distribution: (Tensor) -> any Distribution, _ data: Tensor) throws -> [Float] {
        func total(_ distribution: some Distribution) -> Tensor {
          distribution.expanded(to: data.shape).masked(data .== data).logProb(of: data).sum()
        }
        return try gradient(at: 0.5) { total(distribution($0)) }
      }
      #expect(try slope(family, [1, .nan]) == slope(family, [1]), "family \(number)")
    }
    let scaled = try gradient(at: 0.5) {
      Normal($0, 1).scaled(by: [0, 1]).logProb(of: [.infinity, 1]).sum()
    }
    #expect(scaled == [0.5])
  }

  @Test func componentsThatDoNotCount() throws {
    // The first component's own draw is infinite; it is never chosen.
    let general = try gradient(at: [1, 1]) {
      GeneralMixture(
        Categorical(logits: [-.infinity, 0]), of: [Gamma(1e30, 1e-30 * $0[0]), Gamma($0[1], 1)]
      ).sample(PRNGKey(0))
    }
    #expect(general[0] == 0 && general[1].isFinite && general[1] != 0)
    let same = try gradient(at: [1e-38, 1]) {
      Mixture(Categorical(logits: [-.infinity, 0]), of: Gamma(1e5, $0)).sample(PRNGKey(0))
    }
    #expect(same[0] == 0 && same[1].isFinite && same[1] != 0)
    // A density that is infinite where the component has no weight.
    let density = try valueWithGradient(at: 0.5) {
      Mixture(Categorical(logits: [-.infinity, 0]), of: Beta(Tensor.stack([$0, $0 + 1], axis: -1), 2))
        .logProb(of: 1e-45)
    }
    #expect(density.value.isFinite && density.gradient.scalar.isFinite)
    // No component's support holds the value.
    let outside = try valueWithGradient(at: 1) {
      Mixture(Categorical(logits: [0, 0]), of: Gamma(Tensor.stack([$0, $0], axis: -1), 2)).logProb(of: -1)
    }
    #expect(outside.value == -.infinity && outside.gradient.scalar == 0)
  }
}
