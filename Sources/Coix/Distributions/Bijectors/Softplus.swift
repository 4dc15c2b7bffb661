import CoixParallel

/// y = log(1 + exp(x)), onto the positive numbers; nearly the identity for large x.
///
/// Images are at least the least normal float.
public struct Softplus: Bijector {
  /// The softplus map.
  public init() {}

  public func forward(_ x: Tensor) -> Tensor { maximum(softplus(x), Tensor(.leastNormalMagnitude)) }
  public func inverse(_ y: Tensor) -> Tensor {
    // log(exp(y) - 1). For the smallest y, rounding would spoil exp(-y) - 1.
    let isSmall = y .< 1e-3
    return select(isSmall, log(y) + y / 2, y + log(-expm1(-select(isSmall, 1, y))))
  }
  public func logDeterminant(from x: Tensor, to y: Tensor) -> Tensor { logSigmoid(x) }
  public func contains(_ y: Tensor) -> Tensor { y.isPositive }
}
