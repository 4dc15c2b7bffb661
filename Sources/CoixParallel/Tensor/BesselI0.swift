import CoixKernels

/// log(I₀(x) exp(-|x|)), with the modified Bessel function I₀.
package func logBesselI0Scaled(_ x: Tensor) -> Tensor {
  if let refusal = x.refusal("logBesselI0Scaled") { return refusal }
  guard let y = Tensor(undefined: x.shape, like: x) else { return .outOfMemory }
  coix_op_log_bessel_i0(x.pointer, y.pointer, x.bufferCount).run()
  return y.recorded(from: x) { x.besselSlope($0) }
}

extension Tensor {
  /// The gradient of ``logBesselI0Scaled(_:)`` at this tensor.
  fileprivate func besselSlope(_ gradient: Tensor) -> Tensor {
    guard let result = Tensor(undefined: shape, like: self) else { return .outOfMemory }
    coix_op_log_bessel_i0_backward(pointer, gradient.pointer, result.pointer, bufferCount).run()
    return result.differentiated(inSeed: gradient, notIn: [self], "the modified Bessel function") {
      besselSlope($0)
    }
  }
}
