import CoixKernels

// Numbers that do not count for a result must not make a gradient NaN. Where a result has gradient 0,
// infinite numbers and NaNs among its operands, such as missing data under a mask, are replaced by 0.
// Otherwise 0 · NaN would make sums over rows and elements NaN. This is done only if a first attempt gives an
// infinite or NaN gradient, or if a layer's kernel has such numbers.

extension Tensor {
  /// Whether any element, of any row, is infinite or NaN.
  var hasNonfinite: Bool { !Operation.areWithin(finite, [numbers]) }

  /// 1 where any element along an axis, which stays with size 1, is not 0; else 0.
  func anyNonzero(axis: Int) -> Tensor { (detached .!= 0).max(axis: axis, keepingAxes: true) }

  /// This tensor with zeros where `counts` is 0.
  func zeroed(unless counts: Tensor) -> Tensor { select(counts, self, 0) }
}

/// All finite numbers.
private let finite = -Float.greatestFiniteMagnitude ... .greatestFiniteMagnitude

/// The operands and the gradients of a dense layer: see `coix_dense_backward`.
struct LayerGradients {
  var x: UnsafePointer<Float>
  var kernel: UnsafePointer<Float>
  let y: UnsafePointer<Float>
  let gradient: UnsafePointer<Float>
  var scratch: UnsafeMutablePointer<Float>?
  let dx: UnsafeMutablePointer<Float>?
  let dkernel: UnsafeMutablePointer<Float>?
  var dbias: UnsafeMutablePointer<Float>?
  let (inputs, outputs, rows): (Int, Int, Int)
  var activation = COIX_IDENTITY
  let team: Int32

  /// Fills the gradients.
  func fill() {
    run()
    let numbers = inputs * outputs
    var kernels: [UnsafeBufferPointer<Float>] = []
    if let dkernel { kernels.append(UnsafeBufferPointer(start: dkernel, count: numbers)) }
    if dx != nil { kernels.append(UnsafeBufferPointer(start: kernel, count: numbers)) }
    if Operation.areWithin(finite, kernels) { return }
    // Inputs are set to 0 in rows whose gradients are all 0, and the kernel for outputs whose gradients are
    // all 0.
    guard let countedX = Tensor(undefined: [inputs, rows]),
      let countedKernel = Tensor(undefined: [inputs, outputs])
    else { return }
    countedX.pointer.update(from: x, count: inputs * rows)
    countedKernel.pointer.update(from: kernel, count: numbers)
    for row in 0..<rows where (0..<outputs).allSatisfy({ gradient[$0 * rows + row] == 0 }) {
      for input in 0..<inputs { countedX.pointer[input * rows + row] = 0 }
    }
    for output in 0..<outputs where (0..<rows).allSatisfy({ gradient[output * rows + $0] == 0 }) {
      for input in 0..<inputs { countedKernel.pointer[input * outputs + output] = 0 }
    }
    var counted = self
    (counted.x, counted.kernel) = (UnsafePointer(countedX.pointer), UnsafePointer(countedKernel.pointer))
    withExtendedLifetime((countedX, countedKernel)) { counted.run() }
  }

  private func run() {
    coix_op_dense_backward(
      x, kernel, y, gradient, scratch, dx, dkernel, dbias, inputs, outputs, rows, activation, team
    ).run()
  }
}
