import CoixParallel

/// y = exp(x), onto the positive numbers.
public struct Exp: Bijector {
  /// The exponential map.
  public init() {}

  public func forward(_ x: Tensor) -> Tensor { exp(x) }
  public func inverse(_ y: Tensor) -> Tensor { log(y) }
  public func logDeterminant(from x: Tensor, to y: Tensor) -> Tensor { x }
  public func contains(_ y: Tensor) -> Tensor { y.isPositive }
}
