import CoixParallel

/// y = exp(x), onto the positive numbers.
///
/// Images are clamped to the positive normal floats: the image of -100 is the least normal float.
public struct Exp: Bijector {
  /// The exponential map.
  public init() {}

  public func forward(_ x: Tensor) -> Tensor { x.boundedExponential }
  public func inverse(_ y: Tensor) -> Tensor { log(y) }
  public func logDeterminant(from x: Tensor, to y: Tensor) -> Tensor { x }
  public func contains(_ y: Tensor) -> Tensor { y.isPositive }
}

extension Tensor {
  /// exp(x), clamped to the positive normal floats. Where it is clamped, the gradient is 0.
  var boundedExponential: Tensor { exp(clamped(to: -87.336_54...88.722_83)) }

  /// The nearest finite number.
  var bounded: Tensor { clamped(to: -.greatestFiniteMagnitude ... .greatestFiniteMagnitude) }
}
