import CoixKernels

/// The functions that a dense layer can apply to its output.
public enum Activation: String, Sendable, CaseIterable {
  case identity, relu, tanh, sigmoid, softplus

  var code: coix_activation {
    switch self {
    case .identity: COIX_IDENTITY
    case .relu: COIX_RELU
    case .tanh: COIX_TANH
    case .sigmoid: COIX_SIGMOID
    case .softplus: COIX_SOFTPLUS
    }
  }
}

/// activation(x · kernel + bias), in one pass.
///
/// - Parameters:
///   - x: event shape `[..., in]`; the axes in front of the last one number the inputs.
///   - kernel: `[in, out]`, uniform.
///   - bias: `[out]`, uniform; nil for none.
///   - activation: applied to each number of the result.
/// - Returns: event shape `[..., out]`, batched as `x`. Poisoned if the shapes don't fit. The error of a sum
///   of products, here and in the gradient, is at most 512 · 2⁻²⁴ times the sum of the products' magnitudes,
///   however many there are.
public func dense(_ x: Tensor, kernel: Tensor, bias: Tensor?, activation: Activation = .identity) -> Tensor {
  guard x.shape.rank > 1 else {
    return denseAlongFirstAxis(x, kernel: kernel, bias: bias, activation: activation)
  }
  return denseAlongFirstAxis(x.lastAxisFirst, kernel: kernel, bias: bias, activation: activation)
    .firstAxisLast
}

/// A dense layer for inputs along the first axis: event shape `[in, ...]` gives `[out, ...]`. The kernels use
/// this layout, so a network of several layers has to move the axes only once.
package func denseAlongFirstAxis(
  _ x: Tensor, kernel: Tensor, bias: Tensor?, activation: Activation
) -> Tensor {
  if let refusal = x.refusal("dense") ?? kernel.refusal("dense") ?? bias?.refusal("dense") { return refusal }
  guard x.shape.rank > 0, kernel.shape.rank == 2, kernel.shape[0] == x.shape[0], !kernel.isBatched,
    bias == nil || (bias?.shape == [kernel.shape[1]] && bias?.isBatched == false)
  else {
    // The message shows the axes in the order of `dense(_:kernel:bias:activation:)`.
    let inputShape = Shape(Array(x.shape.dropFirst()) + Array(x.shape.prefix(1)))
    return Tensor.mismatch(
      "dense", [inputShape, kernel.shape] + (bias.map { [$0.shape] } ?? []),
      "needs x [..., in], kernel [in, out] and bias [out], kernel and bias the same for all particles")
  }
  let inputs = kernel.shape[0]
  let outputs = kernel.shape[1]
  let rows = x.shape.product(1..<x.shape.rank) * x.rowCount
  let shape = x.shape.replacing(0, with: outputs)
  if let refusal = Tensor.refusal("dense", toMake: shape, like: x) { return refusal }
  guard let y = Tensor(undefined: shape, like: x) else { return .outOfMemory }
  coix_op_dense_forward(
    x.pointer, kernel.pointer, bias?.pointer, y.pointer, inputs, outputs, rows, activation.code,
    ExecutionContext.team
  ).run()
  guard x.node >= 0 || kernel.node >= 0 || bias?.node ?? -1 >= 0, let tape = ExecutionContext.current?.tape
  else {
    return y
  }
  let nodes = (tape.node(of: x), tape.node(of: kernel), bias.map { tape.node(of: $0) } ?? -1)
  let output = tape.upcoming(y)
  return tape.record(
    y,
    .three(nodes.0, nodes.1, nodes.2) { gradient, isWanted in
      let scratch = activation == .identity ? nil : Tensor(undefined: output.shape, like: x)
      if activation != .identity && scratch == nil { return (nil, nil, nil) }
      let dx = isWanted.0 ? Tensor(undefined: x.shape, like: x) : nil
      let dkernel = isWanted.1 ? Tensor(undefined: kernel.shape) : nil
      let dbias = isWanted.2 ? Tensor(undefined: Shape(outputs)) : nil
      LayerGradients(
        x: x.pointer, kernel: kernel.pointer, y: output.pointer, gradient: gradient.pointer,
        scratch: scratch?.pointer, dx: dx?.pointer, dkernel: dkernel?.pointer, dbias: dbias?.pointer,
        inputs: inputs, outputs: outputs, rows: rows, activation: activation.code, team: ExecutionContext.team
      ).fill()
      guard Tape.isRecording else { return (dx, dkernel, dbias) }
      let vectors = x.shape.product(1..<x.shape.rank)
      let dz = activation.gradient(ofOutput: output, gradient).reshaped(to: [outputs, vectors])
      return (
        dx?.differentiated { matmul(kernel, dz).reshaped(to: x.shape) },
        dkernel?.differentiated { matmul(x.reshaped(to: [inputs, vectors]), dz.transposed()) },
        dbias?.differentiated { dz.sum(axis: 1) }
      )
    })
}

extension Activation {
  /// The gradient of the function's argument, in operators, from its value and that value's gradient.
  fileprivate func gradient(ofOutput y: Tensor, _ gradient: Tensor) -> Tensor {
    switch self {
    case .identity: gradient
    case .relu: select(y .> 0, gradient, 0)
    case .tanh: gradient.seed(times: 1 - y.squared)
    case .sigmoid: gradient.seed(times: y * (1 - y))
    case .softplus: gradient.seed(times: -expm1(-y))
    }
  }
}

extension Tensor {
  /// The tensor with its last axis moved in front of the others.
  package var lastAxisFirst: Tensor {
    transposed(permutation: shape.indices.map { $0 == 0 ? shape.rank - 1 : $0 - 1 })
  }

  /// The tensor with its first axis moved behind the others.
  package var firstAxisLast: Tensor {
    transposed(permutation: shape.indices.map { $0 == shape.rank - 1 ? 0 : $0 + 1 })
  }
}
