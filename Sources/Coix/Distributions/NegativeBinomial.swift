import CoixParallel

/// The number of successes before r failures, or a Poisson count whose rate is a gamma number: probability
/// Γ(k + r) / (k! Γ(r)) · p^k (1 - p)^r of k = 0, 1, 2, …, kept as a float. The r need not be whole.
///
/// Draws are NumPyro's: a gamma number, then a Poisson count; see `Draw.poisson(_:)`. They have no gradient.
public struct NegativeBinomial: Distribution {
  private enum Form {
    case mean, probabilities, logits
  }

  /// The number of failures r > 0, or the gamma distribution's concentration. The variance is mean + mean²/r.
  public let concentration: Tensor
  private let form: Form
  private let parameter: Tensor

  private init(_ concentration: Tensor, _ form: Form, _ parameter: Tensor) {
    self.concentration = concentration
    self.form = form
    self.parameter = parameter
  }

  /// A negative binomial distribution with a given mean (NumPyro's `NegativeBinomial2`); both parameters
  /// broadcast against each other.
  public init(mean: Tensor, concentration: Tensor) { self.init(concentration, .mean, mean) }

  /// The same distribution, from numbers, or from numbers and tensors.
  @_disfavoredOverload
  public init(mean: some TensorConvertible, concentration: some TensorConvertible) {
    self.init(mean: mean.asTensor, concentration: concentration.asTensor)
  }

  /// A negative binomial distribution with a given probability p of a success in each trial; the mean is r p
  /// / (1 - p). Both parameters broadcast against each other.
  public init(_ concentration: Tensor, probabilities: Tensor) {
    self.init(concentration, .probabilities, probabilities)
  }

  /// The same distribution, from numbers, or from numbers and tensors.
  @_disfavoredOverload
  public init(_ concentration: some TensorConvertible, probabilities: some TensorConvertible) {
    self.init(concentration.asTensor, probabilities: probabilities.asTensor)
  }

  /// A negative binomial distribution with given log-odds of a success in each trial; both parameters
  /// broadcast against each other.
  public init(_ concentration: Tensor, logits: Tensor) { self.init(concentration, .logits, logits) }

  /// The same distribution, from numbers, or from numbers and tensors.
  @_disfavoredOverload
  public init(_ concentration: some TensorConvertible, logits: some TensorConvertible) {
    self.init(concentration.asTensor, logits: logits.asTensor)
  }

  public var shape: Shape { Shape.broadcast(concentration.shape, parameter.shape) ?? concentration.shape }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] {
    let failures = DistributionParameter("concentration", concentration, .positive)
    switch form {
    case .mean: return [failures, .init("mean", parameter, .nonnegative)]
    case .probabilities: return [failures, .init("probability", parameter, .probabilityBelow1)]
    case .logits: return [failures, .init("logit", parameter, .logit)]
    }
  }

  public func sample(_ draw: Draw) -> Tensor {
    let (gammaKey, poissonKey) = draw.key.split()
    let number = draw.with(key: gammaKey).gamma(concentration)
    let rate =
      switch form {
      case .mean: number / concentration * parameter
      case .probabilities: number * (parameter / (1 - parameter))
      case .logits: number * exp(parameter)
      }
    // NumPyro's rate, where that is a float.
    return draw.with(key: poissonKey).poisson(minimum(rate, Tensor(.greatestFiniteMagnitude)))
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    let family: LogDensityFamily =
      switch form {
      case .mean: .negativeBinomialMean
      case .probabilities: .negativeBinomial
      case .logits: .negativeBinomialLogits
      }
    return logDensity(family, value, concentration, parameter).summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> NegativeBinomial {
    NegativeBinomial(transform(concentration), form, transform(parameter))
  }
}
