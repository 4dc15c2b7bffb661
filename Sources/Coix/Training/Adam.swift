import CoixParallel

/// Adam: steps scaled by running moments of the gradient.
///
/// Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1.
public struct Adam<Parameters: TensorTree>: Optimizer {
  /// The step size α: finite, and not negative.
  public var learningRate: Float {
    get { rate.scalar }
    set { rate = Tensor(newValue) }
  }
  private var rate: Tensor
  /// The decay of the first moment, β₁, from 0 to less than 1.
  public let beta1: Double
  /// The decay of the second moment, β₂, from 0 to less than 1.
  public let beta2: Double
  /// The number ε that keeps the quotient finite: positive and finite.
  public let epsilon: Float
  private var counts = StepCounts()
  public var stepCount: Int { counts.taken }
  public var skippedCount: Int { counts.skipped }
  public var lastSkippedStep: SkippedStep? { counts.lastSkipped }
  private var firstMoments: [Tensor]
  private var secondMoments: [Tensor]
  /// How many steps have been taken, as a number that corrects the moments. (Beyond 2^24 it stays there, where
  /// there is nothing left to correct.)
  private var steps = Tensor(0)

  /// The greatest magnitude of a gradient. Its square, and the mean of such squares, is finite with room for
  /// rounding. An infinite second moment would never become finite again, and its parameter would never move.
  private static var greatestGradient: Float { 1e19 }

  /// Adam for parameters of the given structure.
  ///
  /// If a setting is outside of its domain, the first update throws.
  public init(
    for parameters: Parameters, learningRate: Float = 1e-3, beta1: Double = 0.9, beta2: Double = 0.999,
    epsilon: Float = 1e-8
  ) {
    rate = Tensor(learningRate)
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    firstMoments = parameters.namedTensors.map { .zeros($0.tensor.shape) }
    secondMoments = firstMoments
  }

  @discardableResult
  public mutating func update(_ parameters: inout Parameters, along gradient: Parameters) throws -> Bool {
    try requireSettings()
    let gradients = try gradient.flattened.map { try $0.validated() }
    guard gradients.count == firstMoments.count,
      gradients.indices.allSatisfy({ gradients[$0].shape == firstMoments[$0].shape })
    else {
      throw CoixError.shape(
        operation: "Adam", shapes: gradients.map(\.shape), reason: "not what the optimiser was made for")
    }
    if let obstacle = gradient.obstacle(in: gradients, for: parameters, limit: Self.greatestGradient) {
      try counts.skip(obstacle, by: "Adam")
      return false
    }
    let rates = try AdamRates(
      steps: steps, rate: rate, beta1: beta1, beta2: beta2, epsilon: epsilon, weightDecay: 0)
    try parameters.update(with: gradients, "Adam") { parameter, gradient, position in
      try adamStep(&parameter, gradient, &firstMoments[position], &secondMoments[position], rates)
    }
    steps += 1
    counts.take()
    return true
  }

  public mutating func noteStep() { counts.take() }

  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("learningRate", &rate)
    try visitor.visit("steps", &steps)
    try visitor.visit("firstMoments", &firstMoments)
    try visitor.visit("secondMoments", &secondMoments)
  }

  private func requireSettings() throws {
    try requireLearningRate(rate, in: "Adam")
    for (name, beta) in [("beta1", beta1), ("beta2", beta2)] {
      // β must be less than 1 in single precision, too, where 1 - β must not be 0.
      try require(beta >= 0 && Float(beta) < 1, of: beta, name, "at least 0 and less than 1", in: "Adam")
    }
    try require(epsilon > 0 && epsilon.isFinite, of: epsilon, "epsilon", "positive and finite", in: "Adam")
  }
}
