import CoixParallel

/// The distribution of an index 0, 1, …, K - 1, kept as a float.
///
/// Draws have no gradient; other values are outside of the support. Drawing by probabilities and by logits are different algorithms
/// (as in NumPyro), so the same key gives different draws.
public struct Categorical: Distribution {
  private enum Form {
    case probabilities, logits
  }

  private let form: Form
  private let parameter: Tensor

  private init(_ form: Form, _ parameter: Tensor) {
    self.form = form
    self.parameter = parameter
  }

  /// By probabilities that sum to 1 over the last axis.
  public init(probabilities: Tensor) { self.init(.probabilities, probabilities) }

  /// By unnormalised log-probabilities, over the last axis.
  public init(logits: Tensor) { self.init(.logits, logits) }

  /// The number of categories.
  public var count: Int { parameter.shape.last ?? 0 }

  public var shape: Shape { Shape(parameter.shape.dropLast()) }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] {
    switch form {
    case .probabilities: [.init("probability", parameter, .probability)]
    case .logits: [.init("logit", parameter, .real)]
    }
  }

  public var finiteSupport: FiniteSupport? { FiniteSupport((0..<count).map(Float.init), shape: shape) }

  public func sample(_ draw: Draw) -> Tensor {
    guard parameter.shape.rank > 0 else {
      return Tensor.mismatch("Categorical", [parameter.shape], "needs an axis of categories")
    }
    switch form {
    case .logits:
      return draw.categorical(logits: parameter)
    case .probabilities:
      // The number of cumulative probabilities, without the last, below a uniform number.
      let cumulative = parameter.detached.cumulativeSum(axis: -1)
      let bounds = cumulative / cumulative.sliced(axis: -1, count - 1..<count)
      let uniform = draw.appendingAxis(1).uniform()
      return (bounds.sliced(axis: -1, 0..<count - 1) .< uniform).sum(axis: -1)
    }
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    guard parameter.shape.rank > 0 else {
      return Tensor.mismatch("Categorical", [parameter.shape], "needs an axis of categories")
    }
    let logarithms: Tensor
    switch form {
    case .logits: logarithms = parameter.logSoftmax(axis: -1)
    case .probabilities:
      logarithms = log(parameter.clamped(to: .leastNormalMagnitude...(1 - 0x1p-23)))
        .supported(where: parameter .> 0)
    }
    let support = (value .>= 0) * (value .< Float(count)) * (value .== value.floor)
    let chosen = value.oneHot(depth: count)
    // Zero where not chosen, also against -inf.
    let density = select(chosen, logarithms, Tensor(0)).sum(axis: -1)
    return density.supported(where: support).summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Categorical {
    Categorical(form, transform(parameter))
  }
}
