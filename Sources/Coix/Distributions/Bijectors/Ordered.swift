import CoixParallel

/// Maps vectors onto vectors whose components increase: y_1 = x_1, and each further y_k = y_(k-1) + exp(x_k).
///
/// A step that is small beside the component may be lost to rounding, so that two components are equal. An
/// image remembers its steps nevertheless; see ``Transformed``.
public struct Ordered: Bijector {
  /// The map to increasing vectors.
  public init() {}

  public var domainRank: Int { 1 }

  public func forward(_ x: Tensor) -> Tensor {
    guard let count = x.shape.last, count > 0 else { return refused(x) }
    let steps = [x.sliced(axis: -1, 0..<1), x.sliced(axis: -1, 1..<count).boundedExponential]
    return Tensor.concatenate(steps, axis: -1).cumulativeSum(axis: -1).bounded
  }

  public func inverse(_ y: Tensor) -> Tensor {
    guard y.shape.last ?? 0 > 0 else { return refused(y) }
    return Tensor.concatenate([y.sliced(axis: -1, 0..<1), log(steps(of: y))], axis: -1)
  }

  public func logDeterminant(from x: Tensor, to y: Tensor) -> Tensor {
    guard let count = x.shape.last, count > 0 else { return refused(x) }
    return x.sliced(axis: -1, 1..<count).sum(axis: -1)
  }

  public func contains(_ y: Tensor) -> Tensor {
    guard y.shape.last ?? 0 > 0 else { return refused(y) }
    return y.isReal.allOfLast(1) * steps(of: y).isPositive.allOfLast(1)
  }

  /// The steps from each component to the next; y has at least one component.
  private func steps(of y: Tensor) -> Tensor {
    let count = y.shape.last ?? 1
    return y.sliced(axis: -1, 1..<count) - y.sliced(axis: -1, 0..<count - 1)
  }

  private func refused(_ x: Tensor) -> Tensor {
    Tensor.mismatch("Ordered", of: [x], "needs vectors with at least one component")
  }
}
