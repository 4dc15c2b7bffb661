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
    guard gradient.isFinite else {
      skippedCount += 1
      return false
    }
    stepCount += 1
    let rate = Tensor(learningRate)
    parameters = try parameters.zipped(with: gradient) { $0 - rate * $1 }
    return true
  }
}
