import CoixParallel

/// Adam with decoupled weight decay: besides ``Adam``'s step, each parameter loses rate · λ of itself; `optax.adamw`.
///
/// Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2, with the schedule as part of the
/// rate.
public struct AdamW<Parameters: TensorTree>: Optimizer {
  private var adam: Adam<Parameters>

  /// Adam with weight decay for parameters of the given structure.
  ///
  /// If a setting is outside of its domain, the first update throws.
  ///
  /// - Parameters:
  ///   - parameters: what will be moved.
  ///   - learningRate: the step size α: finite, and not negative.
  ///   - beta1: the decay of the first moment, β₁, from 0 to less than 1.
  ///   - beta2: the decay of the second moment, β₂, from 0 to less than 1.
  ///   - epsilon: the number ε that keeps the quotient finite: positive and finite.
  ///   - weightDecay: what a parameter loses of itself in a step of rate 1, λ: finite, and not negative.
  public init(
    for parameters: Parameters, learningRate: Schedule = 1e-3, beta1: Double = 0.9, beta2: Double = 0.999,
    epsilon: Float = 1e-8, weightDecay: Float = 1e-4
  ) {
    adam = Adam(
      "AdamW", for: parameters, learningRate, beta1, beta2, epsilon, weightDecay: weightDecay)
  }

  @discardableResult
  public mutating func update(_ parameters: inout Parameters, along gradient: Parameters) throws -> Bool {
    try adam.update(&parameters, along: gradient)
  }

  /// The step size α: finite, and not negative.
  public var learningRate: Schedule {
    get { adam.learningRate }
    set { adam.learningRate = newValue }
  }
  /// The decay of the first moment, β₁, from 0 to less than 1.
  public var beta1: Double { adam.beta1 }
  /// The decay of the second moment, β₂, from 0 to less than 1.
  public var beta2: Double { adam.beta2 }
  /// The number ε that keeps the quotient finite: positive and finite.
  public var epsilon: Float { adam.epsilon }
  /// What a parameter loses of itself in a step of rate 1, λ: finite, and not negative.
  public var weightDecay: Float { adam.weightDecay }
  public var counts: StepCounts {
    get { adam.counts }
    set { adam.counts = newValue }
  }
  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try adam.visitTensors(&visitor)
  }
}
