import CoixKernels

extension Tensor {
  /// A kernel for an elementwise function of one tensor, with its gradient.
  func unary(_ operation: coix_unary_op, _ name: @autoclosure () -> String) -> Tensor {
    if let refusal = refusal(name()) { return refusal }
    let x = self
    guard let y = Tensor(undefined: shape, like: self) else { return .outOfMemory }
    coix_op_unary(operation, pointer, y.pointer, bufferCount, ExecutionContext.team).run()
    return y.recorded(from: self, withOutput: { ElementwiseSlope(operation, x, $0).callAsFunction })
  }

  /// Each element's negative.
  public static prefix func - (x: Tensor) -> Tensor { x.unary(COIX_NEGATE, "-") }
  /// Each element's absolute value; the gradient at 0 is 0.
  public var magnitude: Tensor { unary(COIX_ABS, "abs") }
  /// Each element's square.
  public var squared: Tensor { unary(COIX_SQUARE, "squared") }
  /// 1 over each element.
  public var reciprocal: Tensor { unary(COIX_RECIPROCAL, "reciprocal") }
  /// -1, 0 or 1; without a gradient.
  public var sign: Tensor { unary(COIX_SIGN, "sign") }
  /// The greatest whole number that is not greater; without a gradient.
  public var floor: Tensor { unary(COIX_FLOOR, "floor") }
}

/// e to each element.
public func exp(_ x: Tensor) -> Tensor { x.unary(COIX_EXP, "exp") }
/// exp(x) - 1, exact near 0.
public func expm1(_ x: Tensor) -> Tensor { x.unary(COIX_EXPM1, "expm1") }
/// The natural logarithm: -inf at 0, where the gradient is +inf, and NaN below.
public func log(_ x: Tensor) -> Tensor { x.unary(COIX_LOG, "log") }
/// log(1 + x), exact near 0.
public func log1p(_ x: Tensor) -> Tensor { x.unary(COIX_LOG1P, "log1p") }
/// The square root.
public func sqrt(_ x: Tensor) -> Tensor { x.unary(COIX_SQRT, "sqrt") }
/// The hyperbolic tangent.
public func tanh(_ x: Tensor) -> Tensor { x.unary(COIX_TANH_OP, "tanh") }
/// 1 / (1 + exp(-x)).
public func sigmoid(_ x: Tensor) -> Tensor { x.unary(COIX_SIGMOID_OP, "sigmoid") }
/// log(1 + exp(x)), stable for large |x|.
public func softplus(_ x: Tensor) -> Tensor { x.unary(COIX_SOFTPLUS_OP, "softplus") }
/// log(sigmoid(x)) = -softplus(-x).
public func logSigmoid(_ x: Tensor) -> Tensor { -softplus(-x) }
/// max(x, 0); the gradient at 0 is 0.
public func relu(_ x: Tensor) -> Tensor { x.unary(COIX_RELU_OP, "relu") }
/// The sine, of radians.
public func sin(_ x: Tensor) -> Tensor { x.unary(COIX_SIN, "sin") }
/// The cosine, of radians.
public func cos(_ x: Tensor) -> Tensor { x.unary(COIX_COS, "cos") }
/// Each element's absolute value; the gradient at 0 is 0.
public func abs(_ x: Tensor) -> Tensor { x.magnitude }
/// The logarithm of the gamma function's absolute value.
public func logGamma(_ x: Tensor) -> Tensor { x.unary(COIX_LOGGAMMA, "logGamma") }
/// The derivative of ``logGamma(_:)``: -inf at 0 and +inf at -0, the limits from either side; NaN at the
/// other poles.
public func digamma(_ x: Tensor) -> Tensor { x.unary(COIX_DIGAMMA, "digamma") }
/// The inverse of the error function, on (-1, 1).
public func erfInverse(_ x: Tensor) -> Tensor { x.unary(COIX_ERFINV, "erfInverse") }
/// The cumulative distribution function of the standard normal: the probability of a number below x.
public func normalCDF(_ x: Tensor) -> Tensor { x.unary(COIX_NORMAL_CDF, "normalCDF") }
/// The logarithm of ``normalCDF(_:)``, which stays finite where the probability underflows.
public func logNormalCDF(_ x: Tensor) -> Tensor { x.unary(COIX_LOG_NORMAL_CDF, "logNormalCDF") }
/// The inverse of ``normalCDF(_:)``: -inf at 0, +inf at 1, NaN outside of [0, 1].
public func normalQuantile(_ p: Tensor) -> Tensor { p.unary(COIX_NORMAL_QUANTILE, "normalQuantile") }
