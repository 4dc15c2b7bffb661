import CoixParallel

/// RMSProp: steps scaled by the root of a running mean of the gradient's square; `optax.rmsprop`.
///
/// ```
/// s ← decay * s + (1 - decay) * g²
/// u = rate * g / √(s + epsilon)
/// v ← u + momentum * v
/// p ← p - v                           or, by Nesterov,  p ← p - (u + momentum * v)
/// ```
///
/// Without momentum v is u. The centered form divides by the root of a running variance, s - m², instead, where m is the
/// running mean of the gradient. Where rounding makes that negative, it is 0 here; in optax the step may be NaN then.
///
/// Tieleman and Hinton, "Lecture 6.5: RMSProp", 2012; centered, Graves, "Generating sequences with recurrent neural
/// networks", 2013.
public struct RMSProp<Parameters: TensorTree>: Optimizer {
  private var state: OptimizerState
  /// The decay of the running means, from 0 to less than 1.
  public let decay: Double
  /// The number that keeps the quotient finite: positive and finite.
  public let epsilon: Float
  /// The running mean of squares before the first step: finite, and not negative.
  public let initialScale: Float
  /// Whether the running mean of the gradient is taken off.
  public let centered: Bool
  /// The decay of earlier steps, from 0 to less than 1; nil without momentum.
  public let momentum: Double?
  /// Whether the momentum is Nesterov's.
  public let nesterov: Bool

  /// RMSProp for parameters of the given structure.
  ///
  /// If a setting is outside of its domain, the first update throws.
  ///
  /// - Parameters:
  ///   - parameters: what will be moved.
  ///   - learningRate: the step size: finite, and not negative.
  ///   - decay: the decay of the running means, from 0 to less than 1.
  ///   - epsilon: the number that keeps the quotient finite: positive and finite.
  ///   - initialScale: the running mean of squares before the first step: finite, and not negative.
  ///   - centered: whether the running mean of the gradient is taken off.
  ///   - momentum: the decay of earlier steps, from 0 to less than 1; nil for no momentum.
  ///   - nesterov: whether the momentum is Nesterov's.
  public init(
    for parameters: Parameters, learningRate: Schedule, decay: Double = 0.9, epsilon: Float = 1e-8,
    initialScale: Float = 0, centered: Bool = false, momentum: Double? = nil, nesterov: Bool = false
  ) {
    state = OptimizerState("RMSProp", learningRate, for: parameters) { zeros in
      Moments(
        first: centered ? zeros : [], second: zeros.map { $0 + initialScale },
        velocities: momentum == nil ? [] : zeros)
    }
    (self.decay, self.epsilon, self.initialScale, self.centered) = (decay, epsilon, initialScale, centered)
    (self.momentum, self.nesterov) = (momentum, nesterov)
  }

  @discardableResult
  public mutating func update(_ parameters: inout Parameters, along gradient: Parameters) throws -> Bool {
    try requireDecay(decay, "decay", in: "RMSProp")
    try requireDecay(momentum ?? 0, "momentum", in: "RMSProp")
    try require(epsilon > 0 && epsilon.isFinite, of: epsilon, "epsilon", "positive and finite", in: "RMSProp")
    try require(
      initialScale >= 0 && initialScale.isFinite, of: initialScale, "the initial scale",
      "finite and not negative", in: "RMSProp")
    return try state.step(&parameters, along: gradient, limit: OptimizerState.greatestSquaredGradient) {
      [decay, epsilon, centered, momentum, nesterov] parameters, moments, step in
      try parameters.update(with: step.gradients, "RMSProp") { parameter, gradient, position in
        moments.second[position].move(towards: gradient.squared, decay: decay)
        var square = moments.second[position]
        if centered {
          moments.first[position].move(towards: gradient, decay: decay)
          square = maximum(square - moments.first[position].squared, 0)
        }
        parameter -= moments.accelerated(
          step.rate * gradient / sqrt(square + epsilon), at: position, by: momentum, nesterov: nesterov)
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

extension Tensor {
  /// Moves a running mean on: decay · mean + (1 - decay) · value. 1 - decay is taken in double, as in optax.
  fileprivate mutating func move(towards value: Tensor, decay: Double) {
    self = Float(decay) * self + Float(1 - decay) * value
  }
}
