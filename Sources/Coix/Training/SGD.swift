import CoixParallel

/// Gradient descent, with momentum if asked for: `optax.sgd`.
///
/// ```
/// v ← g + momentum * v
/// p ← p - rate * v                    or, by Nesterov,  p ← p - rate * (g + momentum * v)
/// ```
///
/// Without momentum v is the gradient g. Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and
/// momentum in deep learning", 2013.
public struct SGD<Parameters: TensorTree>: Optimizer {
  private var state: OptimizerState
  /// The decay of earlier gradients, from 0 to less than 1; nil without momentum.
  public let momentum: Double?
  /// Whether the momentum is Nesterov's.
  public let nesterov: Bool

  /// Gradient descent without momentum, for parameters of any structure.
  ///
  /// - Parameter learningRate: the step size: finite, and not negative.
  public init(learningRate: Schedule) {
    state = OptimizerState("SGD", learningRate)
    (momentum, nesterov) = (nil, false)
  }

  /// Gradient descent for parameters of the given structure.
  ///
  /// If a setting is outside of its domain, the first update throws.
  ///
  /// - Parameters:
  ///   - parameters: what will be moved.
  ///   - learningRate: the step size: finite, and not negative.
  ///   - momentum: the decay of earlier gradients, from 0 to less than 1; nil for no momentum.
  ///   - nesterov: whether the momentum is Nesterov's.
  public init(
    for parameters: Parameters, learningRate: Schedule, momentum: Double? = nil, nesterov: Bool = false
  ) {
    state = OptimizerState("SGD", learningRate, for: parameters) { zeros in
      Moments(velocities: momentum == nil ? [] : zeros)
    }
    (self.momentum, self.nesterov) = (momentum, nesterov)
  }

  @discardableResult
  public mutating func update(_ parameters: inout Parameters, along gradient: Parameters) throws -> Bool {
    try requireDecay(momentum ?? 0, "momentum", in: "SGD")
    return try state.step(&parameters, along: gradient) { [momentum, nesterov] parameters, moments, step in
      try parameters.update(with: step.gradients, "SGD") { parameter, gradient, position in
        parameter -=
          step.rate * moments.accelerated(gradient, at: position, by: momentum, nesterov: nesterov)
      }
    }
  }

  /// The step size: finite, and not negative.
  public var learningRate: Schedule {
    get { state.learningRate }
    set { state.learningRate = newValue }
  }
  public var counts: StepCounts {
    get { state.counts }
    set { state.counts = newValue }
  }
  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try state.visitTensors(&visitor)
  }
}
