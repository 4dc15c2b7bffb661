import CoixParallel

/// y = 1 / (1 + exp(-x)), onto the numbers between 0 and 1.
///
/// Images are clamped to [least normal float, 1 - 2⁻²³], as in NumPyro.
public struct Sigmoid: Bijector {
  /// The logistic map.
  public init() {}

  public func forward(_ x: Tensor) -> Tensor {
    sigmoid(x).clamped(to: .leastNormalMagnitude...(1 - .ulpOfOne))
  }
  public func inverse(_ y: Tensor) -> Tensor { log(y) - log1p(-y) }
  public func logDeterminant(from x: Tensor, to y: Tensor) -> Tensor { -softplus(x) - softplus(-x) }
  public func contains(_ y: Tensor) -> Tensor { (y .> 0) * (y .< 1) }
}
