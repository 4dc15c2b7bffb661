import CoixParallel

/// y = exp(x), onto the positive numbers.
///
/// Images are kept positive and finite, as far as floats go: exp(-100) is the least normal float.
public struct Exp: Bijector {
  /// The exponential map.
  public init() {}

  public func forward(_ x: Tensor) -> Tensor { x.boundedExponential }
  public func inverse(_ y: Tensor) -> Tensor { log(y) }
  public func logDeterminant(from x: Tensor, to y: Tensor) -> Tensor { x }
  public func contains(_ y: Tensor) -> Tensor { y.isPositive }
}

extension Tensor {
  /// exp(x) for the x that give a normal float, and the least or the greatest one beyond: there the gradient
  /// is 0.
  var boundedExponential: Tensor { exp(clamped(to: -87.336_54...88.722_83)) }

  /// The nearest finite number.
  var bounded: Tensor { clamped(to: -.greatestFiniteMagnitude ... .greatestFiniteMagnitude) }
}
