import CoixKernels

// Gamma draws, and draws that are computed from them. The algorithms and keys are JAX's: the same key gives
// the same numbers.

extension Draw {
  /// Gamma numbers of the given shape parameter and rate 1: density x^(α - 1) exp(-x) / Γ(α).
  ///
  /// The parameter broadcasts to the draw's shape. Drawn by rejection (Marsaglia and Tsang, "A simple method
  /// for generating gamma variables", 2000). NaN where the parameter is negative.
  ///
  /// The gradient with respect to the parameter is the number's derivative while the value of its cumulative
  /// distribution function stays fixed (implicit reparameterisation; Figurnov, Mohamed and Mnih, 2018), as in
  /// JAX.
  public func gamma(_ concentration: Tensor) -> Tensor { gamma(concentration, isLogarithmic: false) }

  /// Logarithms of gamma numbers, which stay finite where the numbers themselves underflow: see
  /// ``gamma(_:)``.
  public func logGamma(_ concentration: Tensor) -> Tensor { gamma(concentration, isLogarithmic: true) }

  /// Beta numbers: density proportional to x^(a - 1) (1 - x)^(b - 1).
  public func beta(_ a: Tensor, _ b: Tensor) -> Tensor {
    let (keyA, keyB) = key.split()
    let logA = with(key: keyA).logGamma(a)
    let logB = with(key: keyB).logGamma(b)
    let greatest = maximum(logA, logB)
    let (scaledA, scaledB) = (exp(logA - greatest), exp(logB - greatest))
    return scaledA / (scaledA + scaledB)
  }

  /// Vectors from a Dirichlet distribution. The result's shape is the draw's shape, followed by the
  /// concentrations' last axis.
  public func dirichlet(_ concentration: Tensor) -> Tensor {
    guard let count = concentration.shape.last else {
      return Tensor.mismatch("dirichlet", of: [concentration], "needs an axis of concentrations")
    }
    return appendingAxis(count).logGamma(concentration).softmax(axis: -1)
  }

  /// Numbers from Student's t distribution.
  public func studentT(degreesOfFreedom: Tensor) -> Tensor {
    let (normalKey, gammaKey) = key.split()
    let half = degreesOfFreedom / 2
    let draw = with(key: gammaKey)
    let gamma = draw.gamma(half)
    let isTiny = gamma .< Tensor(.leastNormalMagnitude)
    var ratio = sqrt(half / select(isTiny, 1, gamma))
    // With few degrees of freedom a gamma number can underflow; the ratio is then computed from its
    // logarithm. The bound 86.5 keeps the result finite, near the greatest float.
    if isTiny.hasNonzero {
      ratio = select(isTiny, exp(minimum((log(half) - draw.logGamma(half)) / 2, 86.5)), ratio)
    }
    return with(key: normalKey).normal() * ratio
  }

  private func gamma(_ concentration: Tensor, isLogarithmic: Bool) -> Tensor {
    let name = isLogarithmic ? "logGamma" : "gamma"
    if let refusal = concentration.refusal(name) { return refusal }
    if concentration.lacksRows { return gamma(concentration.inAllRows, isLogarithmic: isLogarithmic) }
    guard Shape.broadcast(concentration.shape, shape) == shape else {
      return Tensor.mismatch(
        name, [concentration.shape, shape], "the parameter doesn't broadcast to the draw")
    }
    let plain = concentration.detached
    let alpha = plain.shape.elementCount == 1 ? plain : plain.broadcast(to: shape)
    let numbers = filledRuns { order, element, target in
      let operand = operand(alpha, at: element)
      return coix_op_draw_gamma(
        key.source, order, operand.pointer, operand.elementStride, operand.rowStride, isLogarithmic ? 1 : 0,
        target, ExecutionContext.team)
    }
    let shape = shape
    func slope(_ gradient: Tensor) -> Tensor {
      guard let result = Tensor(undefined: shape, like: gradient) else { return .outOfMemory }
      coix_op_gamma_slope(
        alpha.pointer, alpha.elementStride(in: shape), alpha.rowStride, numbers.pointer,
        isLogarithmic ? 1 : 0,
        gradient.pointer, result.pointer, shape.elementCount, gradient.rowCount
      ).run()
      return result.differentiated(inSeed: gradient, notIn: [concentration], "a gamma draw", slope)
    }
    return numbers.recorded(from: concentration, slope)
  }
}
