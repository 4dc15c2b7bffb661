import CoixParallel

/// The distribution of an index 0, 1, …, K - 1, kept as a float.
///
/// Draws have no gradient. Values other than these indices are outside of the support. Probabilities and
/// logits are drawn from by different algorithms (as in NumPyro), so the same key gives different draws. A
/// category of probability zero is never drawn.
public struct Categorical: Distribution {
  enum Form {
    case probabilities, logits
  }

  let form: Form
  /// The probabilities, or the logits.
  let parameter: Tensor

  private init(_ form: Form, _ parameter: Tensor) {
    self.form = form
    self.parameter = parameter
  }

  /// A categorical distribution with probabilities that sum to 1 over the last axis.
  public init(probabilities: Tensor) { self.init(.probabilities, probabilities) }

  /// The same distribution, from an array of numbers.
  @_disfavoredOverload
  public init(probabilities: some TensorConvertible) { self.init(probabilities: probabilities.asTensor) }

  /// A categorical distribution with unnormalised log-probabilities along the last axis.
  public init(logits: Tensor) { self.init(.logits, logits) }

  /// The same distribution, from an array of numbers.
  @_disfavoredOverload
  public init(logits: some TensorConvertible) { self.init(logits: logits.asTensor) }

  /// The number of categories.
  public var count: Int { parameter.shape.last ?? 0 }

  public var shape: Shape { Shape(parameter.shape.dropLast()) }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] {
    switch form {
    case .probabilities:
      [
        .init("probability", parameter, .probability),
        .init("sum of the probabilities", parameter.sum(axis: -1), .one),
      ]
    case .logits:
      [.init("logit", parameter, .logit), .init("greatest logit", parameter.max(axis: -1), .real)]
    }
  }

  public var finiteSupport: FiniteSupport? { FiniteSupport((0..<count).lazy.map { Float($0) }, shape: shape) }

  public func sample(_ draw: Draw) -> Tensor {
    guard count > 0 else { return refused }
    switch form {
    case .logits:
      return draw.categorical(logits: parameter)
    case .probabilities:
      return bounds.categories(of: draw.uniform())
    }
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    guard count > 0 else { return refused }
    let support = (value .>= 0) * (value .< Float(count)) * (value .== value.floor)
    let chosen = value.oneHot(depth: count)
    // Categories that are not chosen contribute 0, even if their log-probability is -inf.
    let density = select(chosen, logProbabilities, Tensor(0)).sum(axis: -1)
    return density.supported(where: support).summingLast(reducing)
  }

  /// The categories' log-probabilities, along the last axis.
  var logProbabilities: Tensor {
    switch form {
    case .logits: parameter.logSoftmax(axis: -1)
    case .probabilities:
      parameter.logDensity(where: parameter .> 0, standIn: 1) { log($0) }
    }
  }

  /// The bounds at which a uniform number passes from one category to the next; see `categoryBounds()`. There
  /// must be at least one category.
  var bounds: Tensor {
    switch form {
    case .logits: parameter.softmax(axis: -1).categoryBounds()
    case .probabilities: parameter.categoryBounds()
    }
  }

  private var refused: Tensor {
    Tensor.mismatch("Categorical", of: [parameter], "needs an axis of categories")
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Categorical {
    Categorical(form, transform(parameter))
  }
}
