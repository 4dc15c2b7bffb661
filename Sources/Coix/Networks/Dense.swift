import CoixParallel
import Foundation

/// A dense layer: activation(x · kernel + bias).
public struct Dense: TensorTree {
  /// The weights, `[in, out]`.
  public var kernel: Tensor
  /// The bias, `[out]`.
  public var bias: Tensor
  /// The function that is applied to the output.
  public let activation: Activation

  /// A layer with given parameters: kernel `[in, out]`, bias `[out]`.
  public init(kernel: Tensor, bias: Tensor, activation: Activation = .identity) {
    self.kernel = kernel
    self.bias = bias
    self.activation = activation
  }

  /// A layer with a random kernel and a bias of zeros.
  ///
  /// Kernel entries are drawn from a normal distribution of variance 1 / `inputs`, cut off at two standard
  /// deviations of the underlying normal ("LeCun normal": LeCun, Bottou, Orr and Müller, "Efficient
  /// backprop", 1998).
  public init(inputs: Int, outputs: Int, activation: Activation = .identity, key: some RandomSeed) {
    let shape: Shape = [inputs, outputs]
    // 0.8796… is the standard deviation of a standard normal cut off at ±2; 0.9545 = erf(√2).
    let bound: Float = 0.954_499_74
    let uniform = Draw(key: key.prngKey, shape: shape).uniform(low: -bound, high: bound)
    let truncated = erfInverse(uniform) * Tensor(Float(2).squareRoot())
    let scale = (1 / Float(max(inputs, 1))).squareRoot() / 0.879_625_66
    self.init(
      kernel: truncated.clamped(to: -2...2) * Tensor(scale), bias: .zeros([outputs]), activation: activation)
  }

  /// The layer's output for an input of event shape `[..., in]`: event shape `[..., out]`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    dense(x, kernel: kernel, bias: bias, activation: activation)
  }

  /// The layer's output for an input with the axis of features in front: `[in, ...]` gives `[out, ...]`.
  func alongFirstAxis(_ x: Tensor) -> Tensor {
    denseAlongFirstAxis(x, kernel: kernel, bias: bias, activation: activation)
  }

  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("kernel", &kernel)
    try visitor.visit("bias", &bias)
  }
}
