import CoixParallel

/// What an optimiser keeps from step to step, and how it takes a step or skips it: all but its formula.
struct OptimizerState: TensorTree {
  /// The optimiser's name, for messages.
  let optimizer: String
  var learningRate: Schedule
  private(set) var moments: Moments
  /// The shapes of the parameters that it was made for; nil if it takes any.
  private let shapes: [Shape]?
  var counts = StepCounts()
  /// How many steps have been taken, as a number that schedules and corrections of moments are computed from. (Beyond
  /// 2^24 it stays there.)
  private var steps = Tensor(0)

  /// The greatest magnitude of a gradient whose square is kept. Its square, and the mean of such squares, is finite with
  /// room for rounding. An infinite second moment would never become finite again, and its parameter would never move.
  static var greatestSquaredGradient: Float { 1e19 }

  /// The state of an optimiser for parameters of any structure, which keeps no moments.
  init(_ optimizer: String, _ learningRate: Schedule) {
    (self.optimizer, self.learningRate, moments, shapes) = (optimizer, learningRate, Moments(), nil)
  }

  /// The state of an optimiser for parameters of the given structure.
  ///
  /// - Parameter makeMoments: the first moments, from zeros in the shapes of the parameters.
  init(
    _ optimizer: String, _ learningRate: Schedule, for parameters: some TensorTree,
    _ makeMoments: (_ zeros: [Tensor]) -> Moments
  ) {
    (self.optimizer, self.learningRate) = (optimizer, learningRate)
    let zeros = parameters.flattened.map { Tensor.zeros($0.shape) }
    (moments, shapes) = (makeMoments(zeros), zeros.map(\.shape))
  }

  mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("steps", &steps)
    try moments.visitTensors(&visitor)
  }

  /// What a rule gets for a step besides parameters and moments.
  struct Step {
    /// The gradient's tensors.
    let gradients: [Tensor]
    /// The learning rate, one number.
    let rate: Tensor
    /// How many steps have been taken before, one number.
    let number: Tensor
  }

  /// Takes a step, or skips it.
  ///
  /// - Parameters:
  ///   - limit: the greatest magnitude of a gradient.
  ///   - staysFinite: whether such gradients leave parameters finite, so that these are not looked at afterwards.
  ///   - rule: the optimiser's formula.
  /// - Returns: whether the step was taken.
  mutating func step<Parameters: TensorTree>(
    _ parameters: inout Parameters, along gradient: Parameters, limit: Float = .greatestFiniteMagnitude,
    staysFinite: Bool = false, by rule: (inout Parameters, inout Moments, Step) throws -> Void
  ) throws -> Bool {
    let rate = try learningRate(steps).validated()
    try requireLearningRate(rate, in: optimizer)
    let gradients = try gradient.flattened.map { try $0.validated() }
    guard shapes == nil || gradients.map(\.shape) == shapes else {
      throw CoixError.shape(
        operation: optimizer, shapes: gradients.map(\.shape), reason: "not what the optimiser was made for")
    }
    var (moved, next) = (parameters, moments)
    try moved.update(with: gradients, optimizer) { _, _, _ in }
    if let obstacle = gradient.obstacle(in: gradients, for: parameters, limit: limit) {
      try counts.skip(obstacle, by: optimizer)
      return false
    }
    try rule(&moved, &next, Step(gradients: gradients, rate: rate, number: steps))
    if !staysFinite, let obstacle = try moved.obstacle(after: parameters) {
      try counts.skip(obstacle, by: optimizer)
      return false
    }
    (parameters, moments) = (moved, next)
    steps += 1
    counts.take()
    return true
  }
}

/// What rules remember of earlier gradients: lists of a tensor for each parameter, empty where a rule does without.
struct Moments: TensorTree {
  /// Running means of gradients.
  var first: [Tensor] = []
  /// Running means of their squares.
  var second: [Tensor] = []
  /// Sums of steps, earlier ones with less weight.
  var velocities: [Tensor] = []

  mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("firstMoments", &first)
    try visitor.visit("secondMoments", &second)
    try visitor.visit("velocities", &velocities)
  }

  /// A parameter's step with momentum, or as it is if there is none; `optax.trace`.
  mutating func accelerated(_ step: Tensor, at position: Int, by momentum: Double?, nesterov: Bool) -> Tensor
  {
    guard let momentum = momentum.map({ Float($0) }) else { return step }
    velocities[position] = step + momentum * velocities[position]
    return nesterov ? step + momentum * velocities[position] : velocities[position]
  }
}
