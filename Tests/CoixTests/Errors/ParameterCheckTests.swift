import Coix
import Testing

/// What is checked of parameters always and on demand, what passes, and what the messages say.
/// ``ChecksTests`` has values and log-probabilities, ``NumberErrorTests`` inputs.
@Suite struct ParameterCheckTests {
  private static let plate = Plate("particle", count: 40, chunkRows: 16)
  private static let checked = EvaluationOptions(checks: true)

  private func drawn(_ distribution: some Distribution, checks: Bool = false) -> String? {
    let kernel = Kernel { (trace) in trace.sample("z", from: distribution.event(distribution.batchShape.rank))
    }
    var texts: Set<String?> = []
    for threads in [1, 3] {
      texts.insert(
        message {
          let options = EvaluationOptions(workers: try Workers(threads: threads), checks: checks)
          _ = try evaluate(Self.plate(kernel), seed: 1, options: options)()
        })
    }
    #expect(texts.count == 1, "the same on any number of threads")
    return texts.first ?? nil
  }

  private func passes(_ distribution: some Distribution, sourceLocation: SourceLocation = #_sourceLocation) {
    for checks in [false, true] {
      #expect(throws: Never.self, sourceLocation: sourceLocation) {
        let kernel = Kernel { (trace) in trace.sample("z", from: distribution) }
        _ = try evaluate(Self.plate(kernel), seed: 1, options: EvaluationOptions(checks: checks))()
      }
    }
  }

  /// Parameters that are the same for all rows are checked without being asked.
  @Test func uniformParameters() {
    let cases: [(any Distribution, String)] = [
      (Normal(0, -1), "scale must be positive, is -1.0"),
      (Normal(Float.infinity, 1), "location must be real, is inf"),
      (Normal(0, Tensor([1, 0])), "scale must be positive, is 0.0"),
      (Gamma(0, 1), "concentration must be positive, is 0.0"),
      (Beta(1, -2), "concentration0 must be positive, is -2.0"),
      (Uniform(1, 0), "high - low must be above 0, is -1.0"),
      (TruncatedNormal(0, 1, low: 2, high: 1), "high - low must be above 0, is -1.0"),
      (Poisson(-1), "rate must be at least 0, is -1.0"),
      (Bernoulli(probabilities: 1.5), "probability must be between 0 and 1, is 1.5"),
      (Categorical(probabilities: [0.5, 0.4]), "sum of the probabilities must be 1, is 0.9"),
      (Categorical(logits: [0, .infinity]), "logit must be below +inf, is inf"),
      (Dirichlet([1, 0]), "concentration must be positive, is 0.0"),
      (
        MultivariateNormal(0, covariance: Tensor([1, 0.75, 0.25, 1], shape: [2, 2])),
        "covariance less its transpose must be 0, is 0.5"
      ),
      (
        MultivariateNormal(0, covariance: Tensor([1, 2, 2, 1], shape: [2, 2])),
        "covariance must be positive definite, is nan"
      ),
    ]
    for (distribution, expected) in cases {
      func text(_ distribution: some Distribution) -> String? { drawn(distribution) }
      #expect(text(distribution) == "stage 1: site \"z\": \(expected) (particle 0)")
    }
  }

  /// Those that vary over rows are checked on demand.
  @Test func rowParameters() {
    let kernel = Kernel { (trace, scale: Tensor) in trace.sample("z", from: Normal(0, scale)) }
    let scales = Self.plate.mapped(Tensor((0..<40).map { $0 == 23 ? -1 : 1 }))
    #expect(throws: Never.self) { try evaluate(Self.plate(kernel), seed: 1)(scales) }
    #expect(
      message { _ = try evaluate(Self.plate(kernel), seed: 1, options: Self.checked)(scales) }
        == #"stage 1: site "z": scale must be positive, is -1.0 (particle 23)"#)
  }

  @Test func whatIsLegalPasses() throws {
    passes(Bernoulli(logits: Float.infinity))
    passes(Bernoulli(logits: -Float.infinity))
    passes(Categorical(logits: [0, -.infinity]))
    passes(TruncatedNormal(0, 1, low: -Float.infinity, high: Float.infinity))
    passes(TruncatedNormal(0, 1, low: 0, high: Float.infinity))
    passes(Uniform(-3e38, 3e38))
    passes(Poisson(0))
    passes(Normal(0, 1).scaled(by: 0))
    // A covariance that is symmetric but for rounding.
    passes(MultivariateNormal(0, covariance: Tensor([1, 0.3, 0.3 + 3e-8, 1], shape: [2, 2])))
  }

  /// NaN under a mask is no error, also if it comes with the input; elsewhere it is.
  @Test func nanUnderAMask() throws {
    func observing(_ mask: Tensor) -> Model<Tuple<Tensor>, Tuple<Tensor>> {
      Model { (trace, x: Tensor) in
        let z = trace.sample("z", from: Normal(0, 1))
        trace.observe("x", x, from: Normal(z, 1).expanded(to: [3]).masked(mask).event(1))
        return z
      }
    }
    let data: Tensor = [1, .nan, 2]
    let evaluation = try evaluate(Self.plate(observing([1, 0, 1])), seed: 1, options: Self.checked)(data)
    #expect(evaluation.metrics.logWeight.scalars.allSatisfy { $0.isFinite })
    #expect(
      message { _ = try evaluate(Self.plate(observing([1, 1, 0])), seed: 1, options: Self.checked)(data) }
        == "stage 1: input 0 is NaN (particle 0)")
  }

  /// Weights without a meaning are traced back to data and parameters, also without checks.
  @Test func theReasonForWeights() {
    let counts = Model { (trace, x: Tensor) in
      let rate = trace.sample("rate", from: Gamma(2, 1))
      trace.observe("x", x, from: Poisson(rate))
      return rate
    }
    let inference = resample(Self.plate(counts))
    #expect(
      message { _ = try evaluate(inference, seed: 1)(Tensor(.nan)) } == "stage 1: input 0 is NaN (particle 0)"
    )
    #expect(
      message { _ = try evaluate(inference, seed: 1)(2.5) }
        == #"at site "x": stage 1: the log-weights of all particles are -inf: the value is outside of the "#
        + "distribution's support, or too improbable for a float; EvaluationOptions(checks: true) looks at "
        + "parameters and values (instance 0)")
    let captured = Model { (trace) in
      let rate = trace.sample("rate", from: Gamma(2, 1))
      trace.observe("x", Tensor(.nan), from: Poisson(rate))
      return rate
    }
    #expect(
      message { _ = try evaluate(resample(Self.plate(captured)), seed: 1)() }
        == #"stage 1: the observed value of site "x" is NaN (particle 0)"#)
  }
}
