import CoixKernels

/// `base` to the power of `exponent`, elementwise; event shapes broadcast.
///
/// ```
/// d/dbase     = exponent * base^(exponent - 1)
/// d/dexponent = base^exponent * log(base)
/// ```
///
/// Special values are those of C's `pow`: x^0 is 1 for every x, a negative base is NaN unless its exponent is
/// a whole number. The derivative with respect to the base is 0 for an exponent of 0. The derivative with
/// respect to the exponent is 0 where the power is 0, and NaN for a negative base.
public func pow(_ base: Tensor, _ exponent: Tensor) -> Tensor {
  if exponent.node < 0 && !exponent.isPoisoned && !exponent.isMapped && exponent.shape == .scalar
    && !exponent.isBatched
  {
    return pow(base, exponent.scalar)
  }
  return Tensor.power(base, exponent)
}

extension Tensor {
  /// ``pow(_:_:)-(Tensor,Tensor)`` by the kernel for all exponents, which reads no number.
  package static func power(_ base: Tensor, _ exponent: Tensor) -> Tensor {
    if differInRows(base, exponent) { return power(base.inAllRows, exponent.inAllRows) }
    let result = binary(COIX_POWER, base, exponent, "pow")
    guard let tape = Tape.recording(base, exponent) else { return result }
    let nodes = (tape.node(of: base), tape.node(of: exponent))
    let output = tape.upcoming(result)
    func slopeOfBase(_ gradient: Tensor) -> Tensor {
      gradient.seed(times: select(exponent .== 0, 0, exponent * power(base, exponent - 1)))
    }
    func slopeOfExponent(_ gradient: Tensor) -> Tensor {
      // The derivative is 0 where the power has its limit 0: for a base of 0, or an infinite base with a
      // negative exponent.
      gradient.seed(times: select((output .== 0) * (exponent .!= 0), 0, output * log(base)))
    }
    return tape.record(result, .two(nodes.0, nodes.1, slopeOfBase, slopeOfExponent))
  }
}

/// `base` to the power of a number, elementwise: see ``pow(_:_:)-(Tensor,Tensor)``.
@_disfavoredOverload
public func pow(_ base: Tensor, _ exponent: Float) -> Tensor {
  if exponent == 2 { return base.squared }
  let power = Tensor.binary(COIX_POWER, base, Tensor(exponent), "pow")
  return power.recorded(from: base) { gradient in
    exponent == 0 ? select(0, gradient, 0) : gradient.seed(times: pow(base, exponent - 1) * exponent)
  }
}

/// The same numbers as a constant: no gradient flows through. Also ``Tensor/detached``.
public func stopGradient(_ x: Tensor) -> Tensor { x.detached }
