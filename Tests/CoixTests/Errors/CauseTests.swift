import Coix
import Testing

/// The first failure comes out of an evaluation, through every constructor and wrapper, and not a complaint
/// about shapes that follows from it.
@Suite struct CauseTests {
  static let wrong = matmul(Tensor.ones([5, 4]), Tensor.ones([3]))
  static let cause = "matmul: the inner sizes differ (shapes [5, 4], [3])"
  static let three = Normal(0, 1).expanded(to: [3])

  static let distributions: [(String, any Distribution)] = [
    ("event", Normal(wrong, 1).event(1)), ("scale", Normal(0, wrong).event(1)), ("scalar", Normal(wrong, 1)),
    ("expanded", Normal(wrong, 1).expanded(to: [3]).event(1)),
    ("masked", Normal(wrong, 1).masked([1, 0]).event(1)),
    ("mask", three.masked(wrong).event(1)), ("scaled", three.scaled(by: wrong).event(1)),
    ("Dirichlet", Dirichlet(exp(wrong))), ("Categorical", Categorical(logits: wrong)),
    ("probabilities", Categorical(probabilities: wrong)),
    ("Multinomial", Multinomial(3, probabilities: wrong)),
    ("trials", Multinomial(wrong, probabilities: [0.5, 0.5])),
    ("Delta", Delta(wrong, eventRank: 1)),
    ("Affine", three.transformed(by: Affine(wrong, 1)).event(1)),
    ("LowerCholesky", Normal(wrong, 1).transformed(by: LowerCholesky())),
    ("Ordered", Normal(wrong, 1).transformed(by: Ordered())),
    ("SoftmaxCentered", Normal(wrong, 1).transformed(by: SoftmaxCentered())),
    ("MultivariateNormal", MultivariateNormal(.zeros([4]), choleskyFactor: wrong)),
    ("mean", MultivariateNormal(wrong, choleskyFactor: .identity(3))),
    ("Mixture", Mixture(Categorical(probabilities: [0.5, 0.5]), of: Normal(wrong, 1))),
    ("weights", Mixture(Categorical(probabilities: wrong), of: Normal([0, 1], 1))),
    ("Gamma", Gamma(wrong, 1).event(1)), ("Beta", Beta(wrong, 1).event(1)),
    ("Poisson", Poisson(wrong).event(1)),
    ("StudentT", StudentT(3, wrong, 1).event(1)), ("Bernoulli", Bernoulli(logits: wrong).event(1)),
    ("dense", Normal(dense(wrong, kernel: .ones([3, 2]), bias: nil), 1).event(1)),
    ("MLP", Normal(MLP(sizes: [3, 2, 2], key: PRNGKey(0))(wrong), 1).event(1)),
  ]

  @Test(arguments: distributions.map(\.0)) func drawn(_ name: String) throws {
    let distribution = try #require(Self.distributions.first { $0.0 == name }?.1)
    #expect(
      message { try evaluate(Plate("particle", count: 4)(Self.kernel(distribution)), seed: 0)() }
        == #"at site "b": "# + Self.cause)
  }

  /// Whatever the shape of the value, but for what a wrapper adds to a sound distribution, whose own shape
  /// then counts first.
  @Test(arguments: distributions.map(\.0)) func observed(_ name: String) throws {
    let distribution = try #require(Self.distributions.first { $0.0 == name }?.1)
    let values: [Tensor] = ["mask", "scaled"].contains(name) ? [[1, 2, 3]] : [0, [1, 2, 3]]
    for value in values {
      let text = message {
        try evaluate(Plate("particle", count: 4)(Self.model(distribution, value)), seed: 0)()
      }
      #expect(text == #"at site "b": "# + Self.cause)
    }
  }

  private static func kernel(_ distribution: some Distribution) -> Kernel<Tuple<>, Tuple<Tensor>> {
    Kernel { (trace) in trace.sample("b", from: distribution) }
  }

  private static func model(_ distribution: some Distribution, _ value: Tensor) -> Model<
    Tuple<>, Tuple<Tensor>
  > {
    Model { (trace) in
      trace.observe("b", value, from: distribution)
      return trace.sample("z", from: Normal(0, 1))
    }
  }

  @Test func ofABijector() {
    let factor = LowerCholesky().forward(Tensor.zeros([4, 4]))
    let text = "LowerCholesky: needs vectors [..., n (n + 1) / 2], matrices [..., n, n] (shapes [4, 4])"
    #expect(factor.failure?.description == text)
    let distribution = MultivariateNormal(.zeros([4]), choleskyFactor: factor)
    #expect(message { try evaluate(Self.kernel(distribution), seed: 0)() } == #"at site "b": "# + text)
  }

  @Test func outsideOfPrograms() {
    for (name, distribution) in Self.distributions {
      #expect(distribution.logProb(of: [1, 2, 3]).failure?.description == Self.cause, "\(name)")
      // What a wrapper does to the density does not touch draws.
      guard !["mask", "scaled"].contains(name) else { continue }
      #expect(distribution.sample(PRNGKey(0)).failure?.description == Self.cause, "\(name)")
    }
  }

  @Test func ofData() {
    let plate = Plate("particle", count: 4)
    let program = Kernel { (trace, x: Tensor) in trace.sample("z", from: Normal(x, 1)) }
    #expect(
      message { try evaluate(plate(program), seed: 0)(plate.mapped(Self.wrong)) }?.hasSuffix(Self.cause)
        == true)
  }
}
