import CoixKernels

extension Tensor {
  /// Whether every number of a uniform tensor is finite.
  package var isFinite: Bool { !isPoisoned && firstNumber(above: .greatestFiniteMagnitude) == nil }

  /// The first number of a uniform tensor that is NaN or of greater magnitude than a limit.
  package func firstNumber(above limit: Float) -> Float? {
    if isWithin(-limit...limit) { return nil }
    let position = coix_first_above(pointer, shape.elementCount, limit)
    return position < 0 ? nil : pointer[Int(position)]
  }
}

/// What a step of Adam needs besides its tensors: the corrections of its moments, the learning rate, and the weight
/// decay.
package struct AdamRates {
  fileprivate let corrections: Tensor
  fileprivate let beta1, beta2: Double
  fileprivate let epsilon: Float

  /// - Parameters:
  ///   - steps: how many steps have been taken before, one number.
  ///   - rate: the learning rate, one number.
  ///   - weightDecay: how much of itself a parameter loses in a step of rate 1.
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  package init(
    steps: Tensor, rate: Tensor, beta1: Double, beta2: Double, epsilon: Float, weightDecay: Float
  ) throws(CoixError) {
    guard let corrections = Tensor(undefined: [4]) else { throw Storage.lastRefusal }
    // Powers of betas in single precision, as in optax: for the first steps, double precision would change the
    // fifth digit.
    coix_op_adam_corrections(
      steps.pointer, rate.pointer, Float(beta1), Float(beta2), weightDecay, corrections.pointer
    ).run()
    self.corrections = corrections
    (self.beta1, self.beta2, self.epsilon) = (beta1, beta2, epsilon)
  }
}

/// One step of Adam, for a parameter and its moments. See `coix_adam`.
///
/// - Throws: ``CoixError/memory(what:bytes:)``.
package func adamStep(
  _ parameter: inout Tensor, _ gradient: Tensor, _ firstMoment: inout Tensor, _ secondMoment: inout Tensor,
  _ rates: AdamRates
) throws(CoixError) {
  guard let newParameter = Tensor(undefined: parameter.shape), let first = Tensor(undefined: parameter.shape),
    let second = Tensor(undefined: parameter.shape)
  else { throw Storage.lastRefusal }
  // What is replaced below lives until the operation has run.
  withExtendedLifetime((parameter, firstMoment, secondMoment)) {
    coix_op_adam(
      parameter.pointer, gradient.pointer, firstMoment.pointer, secondMoment.pointer,
      rates.corrections.pointer,
      newParameter.pointer, first.pointer, second.pointer, parameter.shape.elementCount, rates.beta1,
      rates.beta2, rates.epsilon
    ).run()
  }
  (parameter, firstMoment, secondMoment) = (newParameter, first, second)
}

extension TensorTree {
  /// Replaces each tensor: `transform` gets the tensor, the tensor at the same place of `others`, and the
  /// number of that place. `others` are the tensors of a tree of the same structure.
  ///
  /// - Throws: ``CoixError/shape(operation:shapes:reason:)``, before anything is replaced, if the trees'
  ///   tensors don't match.
  package mutating func update(
    with others: [Tensor], _ operation: String, _ transform: (inout Tensor, Tensor, Int) throws -> Void
  ) throws {
    var position = 0
    var fits = true
    try forEachTensor { tensor in
      fits = fits && position < others.count && tensor.shape == others[position].shape
      position += 1
    }
    guard fits, position == others.count else {
      throw CoixError.shape(
        operation: operation, shapes: flattened.map(\.shape) + others.map(\.shape),
        reason: "parameters, gradient and optimiser are of different structures")
    }
    position = 0
    try forEachTensor { tensor in
      try transform(&tensor, others[position], position)
      position += 1
    }
  }
}
