import CoixParallel

/// A multilayer perceptron: dense layers one after the other.
public struct MLP: TensorTree {
  /// The layers, first to last.
  public var layers: [Dense]

  /// A perceptron of given layers.
  public init(layers: [Dense]) { self.layers = layers }

  /// A perceptron with random kernels.
  ///
  /// - Parameters:
  ///   - sizes: the widths, from the input's to the output's.
  ///   - activation: the function that is applied after every layer but the last.
  ///   - key: the key that the kernels are drawn with, each by a key split from this one.
  public init(sizes: [Int], activation: Activation = .relu, key: some RandomSeed) {
    let count = max(0, sizes.count - 1)
    layers = zip(key.prngKey.split(into: count), 0..<count).map { key, layer in
      Dense(
        inputs: sizes[layer], outputs: sizes[layer + 1],
        activation: layer == count - 1 ? .identity : activation, key: key)
    }
  }

  /// The output for an input of event shape `[..., first size]`: event shape `[..., last size]`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    guard x.shape.rank > 1, !layers.isEmpty else { return layers.reduce(x) { $1($0) } }
    return layers.reduce(x.lastAxisFirst) { $1.alongFirstAxis($0) }.firstAxisLast
  }

  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("layers", &layers)
  }
}
