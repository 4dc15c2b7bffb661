import CoixParallel

/// The softmax of a vector with a 0 appended: n numbers onto the simplex of n + 1 probabilities.
///
/// Each probability is at least the least normal float. Volumes are measured in the first n probabilities, as
/// for the density of the ``Dirichlet`` distribution.
public struct SoftmaxCentered: Bijector {
  /// The centred softmax.
  public init() {}

  public var domainRank: Int { 1 }
  public func codomainShape(for domain: Shape) -> Shape? {
    domain.last.map { Shape(domain.dropLast() + [$0 + 1]) }
  }

  public func forward(_ x: Tensor) -> Tensor {
    maximum(extended(x).softmax(axis: -1), Tensor(.leastNormalMagnitude))
  }

  public func inverse(_ y: Tensor) -> Tensor {
    guard let count = y.shape.last, count > 0 else { return refused(y) }
    return log(y.sliced(axis: -1, 0..<count - 1)) - log(y.sliced(axis: -1, count - 1..<count))
  }

  public func logDeterminant(from x: Tensor, to y: Tensor) -> Tensor {
    extended(x).logSoftmax(axis: -1).sum(axis: -1)
  }

  public func contains(_ y: Tensor) -> Tensor {
    guard y.shape.rank > 0 else { return refused(y) }
    return (y .> 0).allOfLast(1) * (abs(y.sum(axis: -1) - 1) .< 1e-6)
  }

  private func extended(_ x: Tensor) -> Tensor {
    guard x.shape.rank > 0 else { return refused(x) }
    return Tensor.concatenate([x, .zeros(Shape(x.shape.dropLast() + [1]))], axis: -1)
  }

  private func refused(_ x: Tensor) -> Tensor {
    Tensor.mismatch("SoftmaxCentered", of: [x], "needs vectors")
  }
}
