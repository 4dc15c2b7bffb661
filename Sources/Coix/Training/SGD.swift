import CoixParallel

/// Gradient descent: p ← p - rate · g.
public struct SGD<Parameters: TensorTree>: Optimizer {
  /// The step size: finite, and not negative.
  public var learningRate: Float {
    get { rate.scalar }
    set { rate = Tensor(newValue) }
  }
  private var rate: Tensor
  private var counts = StepCounts()
  public var stepCount: Int { counts.taken }
  public var skippedCount: Int { counts.skipped }
  public var lastSkippedStep: SkippedStep? { counts.lastSkipped }

  /// Gradient descent with a fixed step size.
  public init(learningRate: Float) { rate = Tensor(learningRate) }

  @discardableResult
  public mutating func update(_ parameters: inout Parameters, along gradient: Parameters) throws -> Bool {
    try requireLearningRate(rate, in: "SGD")
    let rate = rate
    var moved = parameters
    let gradients = try gradient.flattened.map { try $0.validated() }
    try moved.update(with: gradients, "SGD") { parameter, gradient, _ in
      parameter = parameter - rate * gradient
    }
    if let obstacle = gradient.obstacle(in: gradients, for: parameters) ?? moved.obstacle(after: parameters) {
      try counts.skip(obstacle, by: "SGD")
      return false
    }
    parameters = moved
    counts.take()
    return true
  }

  public mutating func noteStep() { counts.take() }

  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("learningRate", &rate)
  }
}

extension TensorTree {
  /// Why a step that gives these parameters must be skipped; nil if they are finite.
  fileprivate func obstacle(after parameters: Self) -> SkippedStep? {
    guard !isFinite, let broken = firstNumber() else { return nil }
    if let before = parameters.firstNumber() {
      return SkippedStep(cause: .parameter, name: before.name, value: before.value)
    }
    return SkippedStep(cause: .result, name: broken.name, value: broken.value)
  }
}
