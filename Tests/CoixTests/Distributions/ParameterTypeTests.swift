import Coix
import Testing

/// Each parameter may be a tensor, a literal, or a variable that is a `Float` or an `Int`, in any mixture.
@Suite struct ParameterTypeTests {
  private let number: Float = 0.5
  private let whole = 3
  private let tensor: Tensor = [0.5, 1.5]

  private func isSame(_ distributions: any Distribution...) -> Bool {
    let numbers = distributions.map { $0.sample(PRNGKey(1)).scalars }
    return numbers.allSatisfy { $0 == numbers[0] && !$0.contains(where: \.isNaN) }
  }

  @Test func twoParameters() {
    #expect(isSame(Normal(0.5, 3), Normal(number, 3), Normal(0.5, whole), Normal(number, whole)))
    #expect(isSame(Normal(number, number), Normal(Tensor(0.5), number), Normal(0.5, 0.5)))
    #expect(isSame(Normal(tensor, number), Normal(tensor, 0.5), Normal(tensor, Tensor(0.5))))
    #expect(isSame(Normal([0, 0.5], whole), Normal(Tensor([0, 0.5]), whole), Normal([0, 0.5], 3)))
    #expect(isSame(Normal(.zeros([2]), 3), Normal(Tensor.zeros([2]), whole)))
    #expect(isSame(LogNormal(tensor, number), LogNormal([0.5, 1.5], 0.5)))
    #expect(isSame(Laplace(number, tensor), Laplace(0.5, tensor)))
    #expect(isSame(Cauchy(number, number), Cauchy(0.5, 0.5)))
    #expect(isSame(Gamma(whole, number), Gamma(3, 0.5)))
    #expect(isSame(Beta(number, tensor), Beta(0.5, tensor)))
    #expect(isSame(Uniform(number, whole), Uniform(0.5, 3)))
    #expect(isSame(Uniform(number), Uniform(0.5)))
  }

  @Test func furtherFamilies() {
    #expect(isSame(HalfCauchy(number), HalfCauchy(0.5)))
    #expect(isSame(Weibull(number, tensor), Weibull(0.5, tensor)))
    #expect(isSame(InverseGamma(whole, number), InverseGamma(3, 0.5)))
    #expect(isSame(InverseGamma(whole), InverseGamma(3)))
    #expect(isSame(VonMises(number, whole), VonMises(0.5, 3)))
    #expect(isSame(Binomial(whole, probabilities: tensor / 2), Binomial(3, probabilities: tensor / 2)))
    #expect(isSame(Binomial(whole, logits: number), Binomial(3, logits: 0.5)))
    #expect(
      isSame(
        NegativeBinomial(mean: number, concentration: whole), NegativeBinomial(mean: 0.5, concentration: 3)))
    #expect(isSame(NegativeBinomial(whole, probabilities: number), NegativeBinomial(3, probabilities: 0.5)))
    #expect(isSame(NegativeBinomial(whole, logits: number), NegativeBinomial(3, logits: 0.5)))
    #expect(isSame(LKJ(3, number), LKJ(3, 0.5)))
    #expect(isSame(LKJCholesky(3, whole), LKJCholesky(3, 3)))
  }

  @Test func oneParameter() {
    #expect(isSame(HalfNormal(number), HalfNormal(0.5)))
    #expect(isSame(HalfNormal(), HalfNormal(1)))
    #expect(isSame(Exponential(whole), Exponential(3)))
    #expect(isSame(Poisson(number), Poisson(0.5)))
    #expect(isSame(Bernoulli(probabilities: number), Bernoulli(probabilities: 0.5)))
    #expect(isSame(Bernoulli(logits: number), Bernoulli(logits: 0.5)))
    #expect(Unit(number).logProb(of: []).scalar == 0.5)
  }

  @Test func severalParameters() {
    #expect(isSame(StudentT(whole), StudentT(3), StudentT(3, 0, 1)))
    #expect(isSame(StudentT(whole, number, tensor), StudentT(3, 0.5, tensor)))
    #expect(isSame(TruncatedNormal(number, whole, low: 0), TruncatedNormal(0.5, 3, low: 0)))
    #expect(isSame(TruncatedNormal(tensor, 1, high: number), TruncatedNormal(tensor, 1, high: 0.5)))
    #expect(
      isSame(
        TruncatedNormal(0, number, low: number, high: tensor + 1),
        TruncatedNormal(0, 0.5, low: 0.5, high: tensor + 1)))
    let factor = Tensor([1, 0, 0.5, 1], shape: [2, 2])
    #expect(
      isSame(
        MultivariateNormal(number, choleskyFactor: factor), MultivariateNormal(0.5, choleskyFactor: factor)))
    #expect(
      isSame(
        Multinomial(whole, probabilities: [0.5, 0.5]), Multinomial(3, probabilities: [0.5, 0.5])))
    #expect(isSame(Delta(number), Delta(0.5)))
    #expect(Delta(tensor, logDensity: number).logProb(of: tensor).scalars == [0.5, 0.5])
    #expect(
      isSame(
        Normal(0, 1).transformed(by: Affine(number, whole)), Normal(0, 1).transformed(by: Affine(0.5, 3))))
    #expect(Normal(0, 1).scaled(by: number).logProb(of: 0).scalar == Normal(0, 1).logProb(of: 0).scalar * 0.5)
  }

  /// Every initialiser with variables of each type in all places; which types stand together makes no
  /// difference to it.
  @Test func everyInitializer() {
    let (half, one, two): (Float, Float, Float) = (0.5, 1, 2)
    let (zero, first, second) = (0, 1, 2)
    let (none, single, pair): (Tensor, Tensor, Tensor) = (0, 1, 2)
    let p: Tensor = 0.5
    #expect(isSame(Normal(one, two), Normal(first, second), Normal(single, pair)))
    #expect(isSame(LogNormal(one, two), LogNormal(first, second), LogNormal(single, pair)))
    #expect(isSame(Laplace(one, two), Laplace(first, second), Laplace(single, pair)))
    #expect(isSame(Cauchy(one, two), Cauchy(first, second), Cauchy(single, pair)))
    #expect(isSame(Gamma(one, two), Gamma(first, second), Gamma(single, pair)))
    #expect(isSame(Gamma(two), Gamma(second), Gamma(pair)))
    #expect(isSame(InverseGamma(one, two), InverseGamma(first, second), InverseGamma(single, pair)))
    #expect(isSame(Beta(one, two), Beta(first, second), Beta(single, pair)))
    #expect(isSame(Uniform(one, two), Uniform(first, second), Uniform(single, pair)))
    #expect(isSame(Weibull(one, two), Weibull(first, second), Weibull(single, pair)))
    #expect(isSame(VonMises(one, two), VonMises(first, second), VonMises(single, pair)))
    #expect(isSame(HalfNormal(two), HalfNormal(second), HalfNormal(pair)))
    #expect(isSame(HalfCauchy(two), HalfCauchy(second), HalfCauchy(pair)))
    #expect(isSame(Exponential(two), Exponential(second), Exponential(pair)))
    #expect(isSame(Poisson(two), Poisson(second), Poisson(pair)))
    #expect(isSame(Delta(two), Delta(second), Delta(pair)))
    #expect(isSame(Unit(two), Unit(second), Unit(pair)))
    #expect(isSame(LKJ(3, two), LKJ(3, second), LKJ(3, pair)))
    #expect(isSame(LKJCholesky(3, two), LKJCholesky(3, second), LKJCholesky(3, pair)))
    #expect(
      isSame(
        StudentT(two, Float(0), one), StudentT(second, zero, first), StudentT(pair, none, single)))
    #expect(
      isSame(
        TruncatedNormal(one, two, low: one, high: two),
        TruncatedNormal(first, second, low: first, high: second),
        TruncatedNormal(single, pair, low: single, high: pair)))
    #expect(isSame(Bernoulli(probabilities: half), Bernoulli(probabilities: p)))
    #expect(isSame(Bernoulli(probabilities: one), Bernoulli(probabilities: first)))
    #expect(isSame(Bernoulli(logits: one), Bernoulli(logits: first), Bernoulli(logits: single)))
    #expect(isSame(Binomial(two, probabilities: half), Binomial(pair, probabilities: p)))
    #expect(isSame(Binomial(two, probabilities: one), Binomial(second, probabilities: first)))
    #expect(
      isSame(Binomial(two, logits: one), Binomial(second, logits: first), Binomial(pair, logits: single)))
    #expect(isSame(NegativeBinomial(two, probabilities: half), NegativeBinomial(second, probabilities: p)))
    #expect(
      isSame(
        NegativeBinomial(two, logits: one), NegativeBinomial(second, logits: first),
        NegativeBinomial(pair, logits: single)))
    #expect(
      isSame(
        NegativeBinomial(mean: two, concentration: one), NegativeBinomial(mean: second, concentration: first),
        NegativeBinomial(mean: pair, concentration: single)))
  }

  /// Parameters that are vectors or matrices may be arrays of numbers.
  @Test func vectors() {
    let (floats, wholes): ([Float], [Int]) = ([1, 2], [1, 2])
    let (matrix, wholeMatrix): ([[Float]], [[Int]]) = ([[1, 0], [0, 2]], [[1, 0], [0, 2]])
    let probabilities: [Float] = [0.25, 0.75]
    let (vector, factor): (Tensor, Tensor) = ([1, 2], Tensor(matrix))
    #expect(isSame(Dirichlet(floats), Dirichlet(wholes), Dirichlet(vector)))
    #expect(isSame(Categorical(logits: floats), Categorical(logits: wholes), Categorical(logits: vector)))
    #expect(
      isSame(Categorical(probabilities: probabilities), Categorical(probabilities: Tensor(probabilities))))
    #expect(isSame(Categorical(probabilities: [0, 1] as [Int]), Categorical(probabilities: [0, 1])))
    #expect(
      isSame(
        Multinomial(number + 1.5, logits: floats), Multinomial(2, logits: wholes),
        Multinomial(2, logits: vector)))
    #expect(
      isSame(
        Multinomial(whole, probabilities: probabilities),
        Multinomial(Tensor(3), probabilities: Tensor(probabilities))))
    #expect(
      isSame(
        MultivariateNormal(floats, choleskyFactor: matrix),
        MultivariateNormal(wholes, choleskyFactor: wholeMatrix),
        MultivariateNormal(vector, choleskyFactor: factor)))
    #expect(
      isSame(
        MultivariateNormal(floats, covariance: matrix), MultivariateNormal(wholes, covariance: wholeMatrix),
        MultivariateNormal(vector, covariance: factor)))
    let mean: Float = 1
    #expect(isSame(Delta(floats, logDensity: mean, eventRank: 1), Delta(wholes, eventRank: 1)))
    #expect(isSame(Normal(floats, 1), Normal(vector, 1)))
  }

  /// Expressions stay tensors, and gradients flow.
  @Test func expressions() throws {
    let result = try valueWithGradient(at: Tensor(2)) { mean in
      Normal(2 * mean + 1, number).logProb(of: 5) + Normal(mean, 1).logProb(of: 2)
    }
    #expect(result.gradient.scalar == 0)
  }

  /// Numbers and arrays of Swift's types, as values and as data.
  @Test func valuesAndData() throws {
    let (float, double, wholes): (Float, Double, [Int]) = (0.5, 0.5, [1, 2, 3])
    #expect(Tensor(double).scalar == 0.5 && Tensor(wholes).scalars == [1, 2, 3] && Tensor(whole).shape == [])
    let plate = Plate("row", count: 3)
    let model = Model { (trace, x: Tensor) in
      let mean = trace.sample("mean", from: Normal(0, 1))
      trace.observe("y", float, from: Normal(mean, 1))
      trace.observe("x", x, from: Normal(mean, 1))
      return mean
    }
    let found = try evaluate(plate(model), seed: 0)(plate.mapped(wholes))
    let expected = try evaluate(plate(model), seed: 0)(plate.mapped(Tensor([1, 2, 3])))
    #expect(found.metrics.logWeight.scalars == expected.metrics.logWeight.scalars)
    #expect(found.trace["y"]?.value.scalars == [0.5, 0.5, 0.5])
  }
}
