import CoixKernels

/// The gradient of an elementwise function's argument from that of its value: a kernel, and its formula in
/// operators, which is what is differentiated again.
struct ElementwiseSlope {
  private let operation: coix_unary_op
  private let x: Tensor
  private let y: Tensor

  /// The slope of a function at `x`, where its value is `y`.
  init(_ operation: coix_unary_op, _ x: Tensor, _ y: Tensor) {
    self.operation = operation
    self.x = x
    self.y = y
  }

  /// The gradient times the derivative; 0 where the gradient is 0.
  func callAsFunction(_ gradient: Tensor) -> Tensor {
    guard let result = Tensor(undefined: x.shape, like: x) else { return .outOfMemory }
    coix_op_unary_backward(
      operation, x.pointer, y.pointer, gradient.pointer, result.pointer, x.bufferCount, ExecutionContext.team
    ).run()
    if operation == COIX_DIGAMMA {
      return result.differentiated(inSeed: gradient, notIn: [x], "digamma", { self($0) })
    }
    return result.differentiated { gradient.seed(times: derivative) }
  }

  /// The derivative in operators.
  private var derivative: Tensor {
    let rootOf2Pi: Float = 2.5066283
    switch operation {
    case COIX_NEGATE: return -1
    case COIX_EXP: return y
    case COIX_EXPM1: return y + 1
    case COIX_LOG: return x.reciprocal
    case COIX_LOG1P: return (1 + x).reciprocal
    case COIX_SQRT: return 0.5 / y
    case COIX_TANH_OP: return 1 - y.squared
    case COIX_SIGMOID_OP: return y * (1 - y)
    case COIX_SOFTPLUS_OP: return sigmoid(x)
    case COIX_RELU_OP: return x .> 0
    case COIX_ABS: return x.detached.sign
    case COIX_SQUARE: return 2 * x
    case COIX_RECIPROCAL: return -y.squared
    case COIX_SIN: return cos(x)
    case COIX_COS: return -sin(x)
    case COIX_LOGGAMMA: return digamma(x)
    case COIX_ERFINV: return exp(y.squared) * (0.5 * Float.pi.squareRoot())
    case COIX_NORMAL_CDF: return exp(x.squared * -0.5) / rootOf2Pi
    case COIX_LOG_NORMAL_CDF: return exp(x.squared * -0.5 - y) / rootOf2Pi
    case COIX_NORMAL_QUANTILE: return exp(y.squared * 0.5) * rootOf2Pi
    default: return 0  // sign and floor
    }
  }
}
