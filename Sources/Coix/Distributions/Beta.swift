import CoixParallel

/// The beta distribution: density x^(a - 1) (1 - x)^(b - 1) / B(a, b) on 0 ≤ x ≤ 1.
///
/// Draws are the first component of the ``Dirichlet`` distribution with concentrations a and b, as in
/// NumPyro; gradients of draws flow to both concentrations.
public struct Beta: Distribution {
  /// The concentration a > 0: the larger a, the closer the draws to 1.
  public let concentration1: Tensor
  /// The concentration b > 0: the larger b, the closer the draws to 0.
  public let concentration0: Tensor

  /// A beta distribution; the parameters broadcast against each other.
  public init(_ concentration1: Tensor, _ concentration0: Tensor) {
    self.concentration1 = concentration1
    self.concentration0 = concentration0
  }

  /// The same distribution, from numbers, or from numbers and tensors.
  @_disfavoredOverload
  public init(_ concentration1: some TensorConvertible, _ concentration0: some TensorConvertible) {
    self.init(concentration1.asTensor, concentration0.asTensor)
  }

  public var shape: Shape {
    Shape.broadcast(concentration1.shape, concentration0.shape) ?? concentration1.shape
  }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] {
    [.init("concentration1", concentration1, .positive), .init("concentration0", concentration0, .positive)]
  }

  public func sample(_ draw: Draw) -> Tensor {
    let shape = shape
    let both = Tensor.stack(
      [concentration1.broadcast(to: shape), concentration0.broadcast(to: shape)], axis: -1)
    return Dirichlet(both).sample(draw.appendingAxis(2)).selecting(0, axis: -1)
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    logDensity(.beta, value, concentration1, concentration0).summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Beta {
    Beta(transform(concentration1), transform(concentration0))
  }
}
