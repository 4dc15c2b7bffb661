import CoixKernels

/// log(I₀(x) exp(-|x|)), with the modified Bessel function I₀.
package func logBesselI0Scaled(_ x: Tensor) -> Tensor {
  if let refusal = x.refusal("logBesselI0Scaled") { return refusal }
  guard let y = Tensor(undefined: x.shape, like: x) else { return .outOfMemory }
  coix_op_log_bessel_i0(x.pointer, y.pointer, x.bufferCount).run()
  return y.recorded(from: x) { gradient in
    guard let result = Tensor(undefined: x.shape, like: x) else { return .outOfMemory }
    coix_op_log_bessel_i0_backward(x.pointer, gradient.pointer, result.pointer, x.bufferCount).run()
    return result
  }
}
