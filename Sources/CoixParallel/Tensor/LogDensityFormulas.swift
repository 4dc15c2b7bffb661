import CoixKernels

// The log-densities in operators, for a value and parameters within their domains. Densities and gradients
// come from the kernels; gradients of gradients are those of these formulas.

extension LogDensityFamily {
  /// The log-density of operands in the family's order; nil if there is no formula.
  var formula: (([Tensor]) -> Tensor)? {
    switch kernel {
    case COIX_GAMMA_DENSITY:
      return { $0[1] * log($0[2]) + ($0[1] - 1) * log($0[0]) - $0[2] * $0[0] - logGamma($0[1]) }
    case COIX_INVERSE_GAMMA_DENSITY:
      return { $0[1] * log($0[2]) - ($0[1] + 1) * log($0[0]) - $0[2] / $0[0] - logGamma($0[1]) }
    case COIX_BETA_DENSITY:
      return { ($0[1] - 1) * log($0[0]) + ($0[2] - 1) * log1p(-$0[0]) - Self.logBeta($0[1], $0[2]) }
    case COIX_POISSON_DENSITY:
      return { $0[0] * log($0[1]) - $0[1] - logGamma($0[0] + 1) }
    case COIX_BINOMIAL_DENSITY:
      return { Self.logChoices($0[0], of: $0[1]) + $0[0] * log($0[2]) + ($0[1] - $0[0]) * log1p(-$0[2]) }
    case COIX_BINOMIAL_LOGITS_DENSITY:
      return {
        Self.logChoices($0[0], of: $0[1]) + $0[0] * logSigmoid($0[2]) + ($0[1] - $0[0]) * logSigmoid(-$0[2])
      }
    case COIX_NEGATIVE_BINOMIAL_DENSITY:
      return { Self.logWays($0[0], $0[1]) + $0[1] * log1p(-$0[2]) + $0[0] * log($0[2]) }
    case COIX_NEGATIVE_BINOMIAL_LOGITS_DENSITY:
      return { Self.logWays($0[0], $0[1]) + $0[1] * logSigmoid(-$0[2]) + $0[0] * logSigmoid($0[2]) }
    case COIX_NEGATIVE_BINOMIAL_MEAN_DENSITY:
      return {
        let logTotal = log($0[1] + $0[2])
        return Self.logWays($0[0], $0[1]) + $0[1] * (log($0[1]) - logTotal) + $0[0] * (log($0[2]) - logTotal)
      }
    case COIX_STUDENT_T_DENSITY:
      return {
        let (half, z) = ($0[1] / 2, ($0[0] - $0[2]) / $0[3])
        return logGamma(half + 0.5) - logGamma(half) - 0.5 * log($0[1]) - log($0[3])
          - (half + 0.5) * log1p(z.squared / $0[1])
      }
    case COIX_CAUCHY_DENSITY:
      return { -log($0[2]) - log1p((($0[0] - $0[1]) / $0[2]).squared) }
    case COIX_HALF_CAUCHY_DENSITY:
      return { -log($0[1]) - log1p(($0[0] / $0[1]).squared) }
    case COIX_WEIBULL_DENSITY:
      return {
        let logRatio = log($0[0]) - log($0[1])
        return log($0[2]) - log($0[1]) + ($0[2] - 1) * logRatio - exp($0[2] * logRatio)
      }
    case COIX_LAPLACE_DENSITY:
      return { -abs($0[0] - $0[1]) / $0[2] - log($0[2]) }
    case COIX_UNIFORM_DENSITY:
      return { -log($0[2] - $0[1]) }
    case COIX_TRUNCATED_NORMAL_DENSITY:
      return {
        let (low, high) = (($0[3] - $0[1]) / $0[2], ($0[4] - $0[1]) / $0[2])
        // The probability between the bounds, from the tail where it has its digits.
        let isAbove = low .> 0
        let mass = normalCDF(select(isAbove, -low, high)) - normalCDF(select(isAbove, -high, low))
        return -0.5 * (($0[0] - $0[1]) / $0[2]).squared - log($0[2]) - log(mass)
      }
    case COIX_LOG_BETA:
      return { Self.logBeta($0[0], $0[1]) }
    default:
      return nil  // draws
    }
  }

  private static func logBeta(_ a: Tensor, _ b: Tensor) -> Tensor {
    logGamma(a) + logGamma(b) - logGamma(a + b)
  }

  /// The logarithm of the number of ways to choose `count` of `total`.
  private static func logChoices(_ count: Tensor, of total: Tensor) -> Tensor {
    logGamma(total + 1) - logGamma(count + 1) - logGamma(total - count + 1)
  }

  /// The logarithm of the number of orders of `count` successes before failure number `failures`.
  private static func logWays(_ count: Tensor, _ failures: Tensor) -> Tensor {
    logGamma(count + failures) - logGamma(count + 1) - logGamma(failures)
  }
}

extension VectorLogDensityFamily {
  /// The log-density of a value and a parameter, up to a constant.
  var formula: ([Tensor]) -> Tensor {
    switch kernel {
    case COIX_DIRICHLET_DENSITY:
      return {
        (($0[1] - 1) * log($0[0]) - logGamma($0[1])).sum(axis: -1) + logGamma($0[1].sum(axis: -1))
      }
    case COIX_MULTINOMIAL_DENSITY:
      return { Self.logOrders($0[0]) + ($0[0] * log($0[1])).sum(axis: -1) }
    default:
      return { Self.logOrders($0[0]) + ($0[0] * $0[1].logSoftmax(axis: -1)).sum(axis: -1) }
    }
  }

  /// The logarithm of the number of orders of these counts.
  private static func logOrders(_ counts: Tensor) -> Tensor {
    logGamma(counts.sum(axis: -1) + 1) - logGamma(counts + 1).sum(axis: -1)
  }
}
