import CoixParallel

/// The distribution of 1 with some probability and 0 otherwise.
///
/// Draws have no gradient. Values other than 0 and 1 are outside of the support. A log-probability takes a
/// probability to lie between the smallest normal float and 1 - 2⁻²³, as in NumPyro: beyond, it is about -87
/// or -16 in place of -inf, and its gradient is 0. Log-odds have no such bounds.
public struct Bernoulli: Distribution {
  private enum Form {
    case probabilities, logits
  }

  private let form: Form
  private let parameter: Tensor

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
    value.logDensity(where: maximum(value .== 0, value .== 1), standIn: 0) { x in
      switch form {
      case .probabilities:
        let p = parameter.clamped(to: .leastNormalMagnitude...(1 - 0x1p-23))
        return select(x, log(p), log1p(-p))
      case .logits:
        // The softplus's argument is the log-odds of the other value, which may be infinite.
        return -softplus((1 - 2 * x) * parameter)
      }
    }.summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Bernoulli {
    Bernoulli(form, transform(parameter))
  }
}
