import CoixParallel

/// How often each of K categories comes up in n independent trials: probability n! / Π x_k! · Π p_k^x_k, for
/// counts x with sum n.
///
/// Counts are kept as floats; draws have no gradient. Draws are NumPyro's: n draws of a category from its
/// probabilities, where each trial is drawn for the whole plate before the next. A draw therefore depends on
/// the plate's number of rows.
public struct Multinomial: Distribution {
  /// The number of trials n, for each element of the batch.
  public let totalCount: Tensor
  private let categories: Categorical

  private init(_ totalCount: Tensor, _ categories: Categorical) {
    self.totalCount = totalCount
    self.categories = categories
  }

  /// A multinomial distribution with probabilities that sum to 1 over the last axis. The axes before it
  /// broadcast against those of `totalCount`.
  public init(_ totalCount: Tensor, probabilities: Tensor) {
    self.init(totalCount, Categorical(probabilities: probabilities))
  }

  /// The same distribution, from numbers and arrays of numbers.
  @_disfavoredOverload
  public init(_ totalCount: some TensorConvertible, probabilities: some TensorConvertible) {
    self.init(totalCount.asTensor, probabilities: probabilities.asTensor)
  }

  /// A multinomial distribution with unnormalised log-probabilities along the last axis. The axes before it
  /// broadcast against those of `totalCount`.
  public init(_ totalCount: Tensor, logits: Tensor) {
    self.init(totalCount, Categorical(logits: logits))
  }

  /// The same distribution, from numbers and arrays of numbers.
  @_disfavoredOverload
  public init(_ totalCount: some TensorConvertible, logits: some TensorConvertible) {
    self.init(totalCount.asTensor, logits: logits.asTensor)
  }

  public var shape: Shape {
    (Shape.broadcast(totalCount.shape, categories.shape) ?? categories.shape).appending([categories.count])
  }
  public var eventRank: Int { 1 }
  public var parameters: [DistributionParameter] {
    categories.parameters + [.init("totalCount", totalCount, .count)]
  }

  public func sample(_ draw: Draw) -> Tensor {
    guard draw.shape.rank > 0, draw.shape.last == categories.count, categories.count > 0 else {
      return refused
    }
    guard let greatest = totalCount.greatest, greatest >= 0, greatest < 0x1p24 else {
      return Tensor.mismatch("Multinomial", of: [totalCount], "the number of trials must be from 0 to 2^24")
    }
    let trials = Int(greatest)
    let batch = draw.replacingAxes(last: 1, with: .scalar)
    let bounds = categories.bounds
    // Only some trials are counted at a time, since all of them together may not fit into memory.
    let rows = max(ExecutionContext.current?.rows ?? 1, 1)
    let numbersOfTrial = max(Double(batch.shape.elementCount) * Double(categories.count) * Double(rows), 1)
    let trialsAtOnce = max(Int(0x1p18 / numbersOfTrial), 1)
    func counted(_ numbers: Range<Int>) -> Tensor {
      let uniform = batch.repeated(numbers).appendingAxis(1).uniform()
      let ordinal = Tensor(numbers.map(Float.init)).reshaped(
        to: Shape([numbers.count] + batch.shape.map { _ in 1 } + [1]))
      let counts = ordinal .< totalCount.expandingAxis(at: -1)
      return (counts * (bounds .< uniform)).sum(axis: 0)
    }
    // For each bound between categories, how many of the trials lie beyond it. Trials from `totalCount` on
    // don't count.
    var beyond = counted(0..<min(trialsAtOnce, trials))
    for first in stride(from: trialsAtOnce, to: trials, by: trialsAtOnce) where beyond.failure == nil {
      beyond = beyond + counted(first..<min(first + trialsAtOnce, trials))
    }
    let all = totalCount.detached.expandingAxis(at: -1).broadcast(to: batch.shape.appending([1]))
    let none = Tensor.zeros(all.shape)
    return Tensor.concatenate([all, beyond], axis: -1) - Tensor.concatenate([beyond, none], axis: -1)
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    guard value.shape.last == categories.count, categories.count > 0 else { return refused }
    let support = value.isCount.allOfLast(1) * (value.sum(axis: -1) .== totalCount)
    let x = select(support.expandingAxis(at: -1), value, 0)
    let family: VectorLogDensityFamily =
      switch categories.form {
      case .probabilities: .multinomial
      case .logits: .multinomialLogits
      }
    return vectorLogDensity(family, x, categories.parameter).supported(where: support).summingLast(reducing)
  }

  private var refused: Tensor {
    Tensor.mismatch(
      "Multinomial", of: tensors, shapes: [shape], "needs an axis of categories, as long as the event")
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Multinomial {
    Multinomial(transform(totalCount), categories.mapParameters(transform))
  }
}
