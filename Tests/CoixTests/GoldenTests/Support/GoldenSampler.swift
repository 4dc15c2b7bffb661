import Coix

/// The sampler of a case: what it draws, and how near that must be.
struct GoldenSampler: Sendable {
  let sample: @Sendable (Draw) -> Tensor
  let tolerance: Tolerance
  /// How many of the draw's axes the parameters have.
  var parameterRank = 0
  /// Whether an element depends on its index alone.
  var isElementwise = true
  /// For each element, how near a discrete decision was to going the other way.
  var margins: (@Sendable (Draw) -> [Float])?

  private init(
    _ tolerance: Tolerance, margins: (@Sendable (Draw) -> [Float])? = nil,
    sample: @escaping @Sendable (Draw) -> Tensor
  ) {
    self.tolerance = tolerance
    self.margins = margins
    self.sample = sample
  }

  init(_ golden: GoldenCase, _ attributes: DrawAttributes, _ op: String) throws {
    /// A parameter is an input or, if it is a single number, an attribute.
    func parameter(_ name: String) throws -> Tensor {
      try golden.inputs[name]?.tensor ?? Tensor(try attributes.float(name))
    }
    switch op {
    case "uniform":
      let (low, high) = (try attributes.float("minval"), try attributes.float("maxval"))
      self.init(low == 0 && high == 1 ? .exact : .uniformRange) { $0.uniform(low: low, high: high) }
    case "normal": self.init(.draw) { $0.normal() }
    case "gumbel": self.init(.draw) { $0.gumbel() }
    case "exponential": self.init(.draw) { $0.exponential() }
    case "laplace": self.init(.draw) { $0.laplace() }
    case "cauchy": self.init(.gammaDraw) { $0.cauchy() }
    case "truncated_normal":
      let (lower, upper) = (try attributes.float("lower"), try attributes.float("upper"))
      self.init(.draw) { $0.truncatedNormal(lower: lower, upper: upper) }
    case "bernoulli":
      let probability = try parameter("p")
      self.init(.exact) { $0.bernoulli(probability) }
      parameterRank = probability.shape.rank
    case "categorical":
      let (logits, axis) = (try parameter("logits"), try attributes.integer("axis"))
      self.init(
        .exact, margins: { NearTie.categorical($0, logits, axis) },
        sample: { $0.categorical(logits: logits, axis: axis) })
      parameterRank = logits.shape.rank - 1
    case "gamma", "gamma_array":
      let alpha = try parameter("alpha")
      self.init(.gammaDraw, margins: { NearTie.gamma($0, alpha) }, sample: { $0.gamma(alpha) })
      parameterRank = alpha.shape.rank
    case "loggamma":
      let alpha = try parameter("alpha")
      self.init(.gammaDraw, margins: { NearTie.gamma($0, alpha) }, sample: { $0.logGamma(alpha) })
      parameterRank = alpha.shape.rank
    case "beta":
      let (a, b) = (try parameter("a"), try parameter("b"))
      self.init(.gammaDraw, margins: { NearTie.beta($0, a, b) }, sample: { $0.beta(a, b) })
      parameterRank = max(a.shape.rank, b.shape.rank)
    case "dirichlet":
      let alpha = try parameter("alpha")
      self.init(.gammaDraw, margins: { NearTie.dirichlet($0, alpha) }, sample: { $0.dirichlet(alpha) })
      parameterRank = alpha.shape.rank - 1
    case "student_t":
      let freedom = try parameter("df")
      self.init(
        .gammaDraw, margins: { NearTie.gamma($0.with(key: $0.key.split().1), freedom / 2) },
        sample: { $0.studentT(degreesOfFreedom: freedom) })
      parameterRank = freedom.shape.rank
    case "poisson":
      let rate = try parameter("lam")
      self.init(.exact, margins: { NearTie.poisson($0, rate) }, sample: { $0.poisson(rate) })
      parameterRank = rate.shape.rank
      // JAX rejects for all elements together; see Draw.poisson.
      isElementwise = rate.scalars.allSatisfy { $0 < 10 }
    default: throw GoldenError("\(golden.name): no sampler for the op \(op)")
    }
  }
}
