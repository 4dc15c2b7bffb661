import CoixParallel

/// The number of successes in n independent trials: probability n! / (k! (n - k)!) · p^k (1 - p)^(n - k) of k
/// = 0, 1, …, n, kept as a float.
///
/// Draws have no gradient; see `Draw.binomial(_:_:)`. Values other than these counts are outside of the
/// support.
public struct Binomial: Distribution {
  private enum Form {
    case probabilities, logits
  }

  /// The number of trials n.
  public let totalCount: Tensor
  private let form: Form
  private let parameter: Tensor

  private init(_ totalCount: Tensor, _ form: Form, _ parameter: Tensor) {
    self.totalCount = totalCount
    self.form = form
    self.parameter = parameter
  }

  /// A binomial distribution with a given probability of a success in each trial; both parameters broadcast
  /// against each other.
  public init(_ totalCount: Tensor, probabilities: Tensor) {
    self.init(totalCount, .probabilities, probabilities)
  }

  /// The same distribution, from numbers, or from numbers and tensors.
  @_disfavoredOverload
  public init(_ totalCount: some TensorConvertible, probabilities: some TensorConvertible) {
    self.init(totalCount.asTensor, probabilities: probabilities.asTensor)
  }

  /// A binomial distribution with given log-odds of a success in each trial, which may be infinite; both
  /// parameters broadcast against each other.
  public init(_ totalCount: Tensor, logits: Tensor) { self.init(totalCount, .logits, logits) }

  /// The same distribution, from numbers, or from numbers and tensors.
  @_disfavoredOverload
  public init(_ totalCount: some TensorConvertible, logits: some TensorConvertible) {
    self.init(totalCount.asTensor, logits: logits.asTensor)
  }

  public var shape: Shape { Shape.broadcast(totalCount.shape, parameter.shape) ?? totalCount.shape }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] {
    let count = DistributionParameter("totalCount", totalCount, .count)
    switch form {
    case .probabilities: return [count, .init("probability", parameter, .probability)]
    case .logits: return [count, .init("logit", parameter, .logOdds)]
    }
  }

  /// All counts up to the greatest number of trials, if that is the same for all rows of a plate and at most
  /// 1,000; else nil.
  public var finiteSupport: FiniteSupport? {
    guard totalCount.failure == nil else { return FiniteSupport(points: [totalCount]) }
    guard !totalCount.isMapped, let greatest = totalCount.scalars.max(),
      (0...Self.mostEnumerated).contains(greatest)
    else { return nil }
    return FiniteSupport((0...Int(greatest)).map(Float.init), shape: shape)
  }

  private static let mostEnumerated: Float = 1_000

  public func sample(_ draw: Draw) -> Tensor {
    switch form {
    case .probabilities: draw.binomial(totalCount, parameter)
    case .logits: draw.binomial(totalCount, sigmoid(parameter))
    }
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    let family: LogDensityFamily =
      switch form {
      case .probabilities: .binomial
      case .logits: .binomialLogits
      }
    return logDensity(family, value, totalCount, parameter).summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Binomial {
    Binomial(transform(totalCount), form, transform(parameter))
  }
}
