import CoixParallel

/// Adam: steps scaled by running moments of the gradient; `optax.adam`.
///
/// Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1.
public struct Adam<Parameters: TensorTree>: Optimizer {
  private var state: OptimizerState
  /// The decay of the first moment, β₁, from 0 to less than 1.
  public let beta1: Double
  /// The decay of the second moment, β₂, from 0 to less than 1.
  public let beta2: Double
  /// The number ε that keeps the quotient finite: positive and finite.
  public let epsilon: Float
  /// What a parameter loses of itself in a step of rate 1: see ``AdamW``.
  let weightDecay: Float

  /// Adam for parameters of the given structure.
  ///
  /// If a setting is outside of its domain, the first update throws.
  ///
  /// - Parameters:
  ///   - parameters: what will be moved.
  ///   - learningRate: the step size α: finite, and not negative.
  ///   - beta1: the decay of the first moment, β₁, from 0 to less than 1.
  ///   - beta2: the decay of the second moment, β₂, from 0 to less than 1.
  ///   - epsilon: the number ε that keeps the quotient finite: positive and finite.
  public init(
    for parameters: Parameters, learningRate: Schedule = 1e-3, beta1: Double = 0.9, beta2: Double = 0.999,
    epsilon: Float = 1e-8
  ) {
    self.init("Adam", for: parameters, learningRate, beta1, beta2, epsilon, weightDecay: 0)
  }

  /// Adam under the given name, with decoupled weight decay.
  init(
    _ name: String, for parameters: Parameters, _ learningRate: Schedule, _ beta1: Double, _ beta2: Double,
    _ epsilon: Float, weightDecay: Float
  ) {
    state = OptimizerState(name, learningRate, for: parameters) { Moments(first: $0, second: $0) }
    (self.beta1, self.beta2, self.epsilon, self.weightDecay) = (beta1, beta2, epsilon, weightDecay)
  }

  @discardableResult
  public mutating func update(_ parameters: inout Parameters, along gradient: Parameters) throws -> Bool {
    let name = state.optimizer
    try requireDecay(beta1, "beta1", in: name)
    try requireDecay(beta2, "beta2", in: name)
    try require(epsilon > 0 && epsilon.isFinite, of: epsilon, "epsilon", "positive and finite", in: name)
    try require(
      weightDecay >= 0 && weightDecay.isFinite, of: weightDecay, "the weight decay",
      "finite and not negative",
      in: name)
    return try state.step(
      &parameters, along: gradient, limit: OptimizerState.greatestSquaredGradient, staysFinite: true
    ) { [beta1, beta2, epsilon, weightDecay] parameters, moments, step in
      let rates = try AdamRates(
        steps: step.number, rate: step.rate, beta1: beta1, beta2: beta2, epsilon: epsilon,
        weightDecay: weightDecay)
      try parameters.update(with: step.gradients, name) { parameter, gradient, position in
        try adamStep(
          &parameter, gradient, &moments.first[position], &moments.second[position], rates)
      }
    }
  }

  /// The step size α: finite, and not negative.
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
