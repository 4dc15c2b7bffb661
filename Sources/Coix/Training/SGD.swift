import CoixParallel

/// Gradient descent: p ← p - rate · g.
public struct SGD<Parameters: TensorTree>: Optimizer {
  /// The step size.
  public var learningRate: Float
  public private(set) var stepCount = 0
  public private(set) var skippedCount = 0

  /// Gradient descent with a fixed step size.
  public init(learningRate: Float) { self.learningRate = learningRate }

  @discardableResult
  public mutating func update(_ parameters: inout Parameters, along gradient: Parameters) throws -> Bool {
    let gradients = gradient.flattened
    let isFinite = gradients.allSatisfy(\.isFinite)
    let rate = Tensor(learningRate)
    try parameters.update(with: gradients, "SGD") { parameter, gradient, _ in
      if isFinite { parameter = parameter - rate * gradient }
    }
    if isFinite { stepCount += 1 } else { skippedCount += 1 }
    return isFinite
  }
}
