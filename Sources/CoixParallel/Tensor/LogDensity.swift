import CoixKernels

/// A family of distributions for which one kernel computes the log-density and its gradients in double, in
/// one pass.
///
/// The result is the exact operands' log-density, rounded once, however large or small the operands are:
/// squares and widths do not overflow in between, and differences of log-gammas keep their digits. See
/// ``logDensity(_:_:)`` for what all families have in common.
package struct LogDensityFamily: Sendable {
  let kernel: coix_density

  private init(_ kernel: coix_density) { self.kernel = kernel }

  /// Operands: x > 0, concentration, rate.
  package static let gamma = Self(COIX_GAMMA_DENSITY)
  /// Operands: x > 0, concentration, rate.
  package static let inverseGamma = Self(COIX_INVERSE_GAMMA_DENSITY)
  /// Operands: x, concentration near 1, concentration near 0. At x = 0 and x = 1 the log-density is its
  /// limit.
  package static let beta = Self(COIX_BETA_DENSITY)
  /// Operands: a count, the rate (≥ 0).
  package static let poisson = Self(COIX_POISSON_DENSITY)
  /// Operands: a count of successes, the number of trials, the probability of a success.
  package static let binomial = Self(COIX_BINOMIAL_DENSITY)
  /// Operands: a count of successes, the number of trials, the log-odds of a success, which may be infinite.
  package static let binomialLogits = Self(COIX_BINOMIAL_LOGITS_DENSITY)
  /// Operands: a count of successes, the number of failures that ends the trials (> 0, not necessarily
  /// whole), the probability of a success.
  package static let negativeBinomial = Self(COIX_NEGATIVE_BINOMIAL_DENSITY)
  /// Operands: a count of successes, the number of failures that ends the trials (> 0), the log-odds of a
  /// success, which may be infinite.
  package static let negativeBinomialLogits = Self(COIX_NEGATIVE_BINOMIAL_LOGITS_DENSITY)
  /// Operands: a count, the concentration (> 0; the larger, the closer the count is to a Poisson count), the
  /// mean (≥ 0).
  package static let negativeBinomialMean = Self(COIX_NEGATIVE_BINOMIAL_MEAN_DENSITY)
  /// Operands: x, degrees of freedom, location, scale.
  package static let studentT = Self(COIX_STUDENT_T_DENSITY)
  /// Operands: x, location, scale.
  package static let cauchy = Self(COIX_CAUCHY_DENSITY)
  /// Operands: x > 0, scale.
  package static let halfCauchy = Self(COIX_HALF_CAUCHY_DENSITY)
  /// Operands: x > 0, scale, concentration.
  package static let weibull = Self(COIX_WEIBULL_DENSITY)
  /// Operands: x, location, scale.
  package static let laplace = Self(COIX_LAPLACE_DENSITY)
  /// Operands: x, low, high.
  package static let uniform = Self(COIX_UNIFORM_DENSITY)
  /// Operands: x, location, scale, low, high. Either bound may be infinite.
  package static let truncatedNormal = Self(COIX_TRUNCATED_NORMAL_DENSITY)
  /// Not a density: a draw with its gradient. Operands: the draw, the uniform number that it was made from
  /// (both without a gradient), location, scale, low, high.
  fileprivate static let truncatedNormalDraw = Self(COIX_TRUNCATED_NORMAL_DRAW)
  /// Not a density: log B(a, b). Operands: a, b.
  fileprivate static let logBeta = Self(COIX_LOG_BETA)
}

/// The logarithm of the beta function, Γ(a) Γ(b) / Γ(a + b), for a, b > 0; event shapes broadcast.
///
/// Correct to 1 ulp also where the gamma functions' logarithms are huge.
package func logBeta(_ a: Tensor, _ b: Tensor) -> Tensor { logDensity(.logBeta, a, b) }

/// A draw from a truncated normal distribution with its gradient: the draw's derivative with respect to the
/// parameters while `uniform`, the value of the cumulative distribution function at the draw, stays fixed.
package func truncatedNormalDraw(
  _ draw: Tensor, uniform: Tensor, location: Tensor, scale: Tensor, low: Tensor, high: Tensor
) -> Tensor {
  logDensity(.truncatedNormalDraw, draw.detached, uniform, location, scale, low, high)
}

/// A family's log-density at each element; the operands' event shapes broadcast.
///
/// - The log-density is -inf for a value outside of the support (a NaN counts as outside), and NaN for
///   parameters outside of their domain.
/// - Gradients flow to all operands, the value included (for counts, through the gamma function, which
///   interpolates between whole numbers). A gradient is 0 where the incoming gradient is 0, whatever the
///   derivative; where the value is outside of the support; and where the log-density is infinite. At an edge
///   of the support, gradients are one-sided limits from within. A factor x^0 at x = 0 counts as 1 and has no
///   gradient.
///
/// - Parameters:
///   - family: the family.
///   - operands: the value, then the parameters, in the family's order.
package func logDensity(_ family: LogDensityFamily, _ operands: Tensor...) -> Tensor {
  let name = "logProb"
  for operand in operands {
    if let refusal = operand.refusal(name) { return refusal }
  }
  let operands = Tensor.differInRows(operands) ? operands.map(\.inAllRows) : operands
  var broadcast: Shape? = operands[0].shape
  for operand in operands { broadcast = broadcast.flatMap { Shape.broadcast($0, operand.shape) } }
  guard let shape = broadcast else {
    return Tensor.mismatch(name, operands.map(\.shape), "the shapes don't broadcast")
  }
  let batched = operands.first(where: \.isBatched) ?? operands[0]
  if let refusal = Tensor.refusal(name, toMake: shape, like: batched) { return refusal }
  guard let result = Tensor(undefined: shape, like: batched) else { return .outOfMemory }
  guard shape.elementCount > 0 else { return result }
  let plan = BroadcastPlan(operands, shape: shape, stride: result.stride)
  let team = ExecutionContext.team
  plan.walk { output, at in
    withKernelOperands(operands, plan, at) {
      coix_op_log_density(
        family.kernel, $0, operands.count, result.pointer + output, plan.outer.size, plan.inner.size, team
      ).run()
    }
  }
  guard operands.contains(where: { $0.node >= 0 }), let tape = ExecutionContext.current?.tape else {
    return result
  }
  return tape.record(
    result,
    .several(operands.map(tape.node(of:))) { gradient, isWanted in
      let slopes = isWanted.map { $0 ? Tensor(undefined: shape, like: batched) : nil }
      plan.walk { output, at in
        withKernelOperands(operands, plan, at) { kernelOperands in
          var targets = slopes.map { $0.map { $0.pointer + output } }
          coix_op_log_density_backward(
            family.kernel, kernelOperands, operands.count, gradient.pointer + output, &targets,
            plan.outer.size, plan.inner.size, team
          ).run()
        }
      }
      let sums = zip(slopes, operands).map { slope, operand -> Tensor? in
        guard let slope else { return nil }
        let sum = slope.summed(to: operand.shape, stride: operand.stride)
        // The kernel keeps each slope finite. Their sums are kept finite in the same way.
        let isSummed = sum.shape != slope.shape || sum.stride != slope.stride
        let largest = Float.greatestFiniteMagnitude
        return isSummed ? sum.clamped(to: -largest...largest) : sum
      }
      return Tensor.differentiated(sums, as: family.formula, of: operands, seed: gradient, where: result)
    })
}

/// Calls `body` with the operands in the kernels' form, starting at the given offsets.
private func withKernelOperands(
  _ operands: [Tensor], _ plan: BroadcastPlan, _ offsets: [Int], _ body: (UnsafePointer<coix_operand>) -> Void
) {
  let described = operands.indices.map { operand in
    coix_operand(
      data: operands[operand].pointer + offsets[operand], outer_stride: plan.outer.strides[operand],
      row_stride: plan.inner.strides[operand])
  }
  described.withUnsafeBufferPointer { if let base = $0.baseAddress { body(base) } }
}
