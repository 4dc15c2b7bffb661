import CoixParallel

/// The distribution of 1 with some probability and 0 otherwise.
///
/// Draws have no gradient. Values other than 0 and 1 are outside of the support, unless they are
/// ``takingFractions``. A log-probability takes a
/// probability to lie between the smallest normal float and 1 - 2⁻²³, as in NumPyro: beyond, it is about -87
/// or -16 in place of -inf, and its gradient is 0. Log-odds have no such bounds.
public struct Bernoulli: Distribution {
  private enum Form {
    case probabilities, logits
  }

  private let form: Form
  private let parameter: Tensor
  private var hasFractions = false

  private init(_ form: Form, _ parameter: Tensor) {
    self.form = form
    self.parameter = parameter
  }

  /// A Bernoulli distribution with a given probability of 1. In log-probabilities, the probability is clamped
  /// to [least normal float, 1 - 2⁻²³].
  public init(probabilities: Tensor) { self.init(.probabilities, probabilities) }

  /// The same distribution, from a number instead of a tensor.
  @_disfavoredOverload
  public init(probabilities: some TensorConvertible) { self.init(probabilities: probabilities.asTensor) }

  /// A Bernoulli distribution with given log-odds of 1, which may be infinite.
  public init(logits: Tensor) { self.init(.logits, logits) }

  /// The same distribution, from a number instead of a tensor.
  @_disfavoredOverload
  public init(logits: some TensorConvertible) { self.init(logits: logits.asTensor) }

  /// The same distribution for observations between 0 and 1, such as grey levels: v counts as a fraction v of a
  /// 1 and a fraction 1 - v of a 0,
  ///
  /// ```
  /// log-probability(v) = v log p + (1 - v) log(1 - p)
  /// ```
  ///
  /// the negative cross-entropy of v and p, as in NumPyro without validation. This is a likelihood of p; it is no
  /// normalised density of v, and draws are 0 or 1 as before.
  public var takingFractions: Bernoulli {
    var result = self
    result.hasFractions = true
    return result
  }

  public var shape: Shape { parameter.shape }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] {
    switch form {
    case .probabilities: [.init("probability", parameter, .probability)]
    case .logits: [.init("logit", parameter, .logOdds)]
    }
  }

  public var finiteSupport: FiniteSupport? { FiniteSupport([0, 1], shape: shape) }

  public func sample(_ draw: Draw) -> Tensor {
    let probability =
      switch form {
      case .probabilities: parameter
      case .logits: sigmoid(parameter)
      }
    return draw.bernoulli(probability)
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    let support =
      hasFractions ? (value .>= 0) * (value .<= 1) : maximum(value .== 0, value .== 1)
    return value.logDensity(where: support, standIn: 0) { x in
      switch form {
      case .probabilities:
        let p = parameter.clamped(to: .leastNormalMagnitude...(1 - 0x1p-23))
        return hasFractions ? x * log(p) + (1 - x) * log1p(-p) : select(x, log(p), log1p(-p))
      case .logits:
        guard hasFractions else {
          // The softplus's argument is the log-odds of the other value, which may be infinite.
          return -softplus((1 - 2 * x) * parameter)
        }
        // A fraction of 0 counts for nothing, also if its log-probability is infinite.
        return -select(x, x * softplus(-parameter), 0) - select(1 - x, (1 - x) * softplus(parameter), 0)
      }
    }.summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Bernoulli {
    var result = Bernoulli(form, transform(parameter))
    result.hasFractions = hasFractions
    return result
  }
}
