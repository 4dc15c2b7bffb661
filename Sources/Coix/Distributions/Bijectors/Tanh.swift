import CoixParallel

/// y = tanh(x), onto the numbers between -1 and 1.
///
/// Images are clamped to [-1 + 2⁻²³, 1 - 2⁻²³].
public struct Tanh: Bijector {
  /// The hyperbolic tangent.
  public init() {}

  public func forward(_ x: Tensor) -> Tensor {
    tanh(x).clamped(to: (-1 + .ulpOfOne)...(1 - .ulpOfOne))
  }
  public func inverse(_ y: Tensor) -> Tensor { (log1p(y) - log1p(-y)) / 2 }
  public func logDeterminant(from x: Tensor, to y: Tensor) -> Tensor {
    2 * (log(Tensor(2)) - x - softplus(-2 * x))
  }
  public func contains(_ y: Tensor) -> Tensor { abs(y) .< 1 }
}
