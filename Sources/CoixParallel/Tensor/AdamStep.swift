import CoixKernels

extension Tensor {
  /// Whether every number of a uniform tensor is finite.
  package var isFinite: Bool { !isPoisoned && firstNumber(above: .greatestFiniteMagnitude) == nil }

  /// The first number of a uniform tensor that is NaN or of greater magnitude than a limit.
  package func firstNumber(above limit: Float) -> Float? {
    let position = coix_first_above(pointer, shape.elementCount, limit)
    return position < 0 ? nil : pointer[Int(position)]
  }
}

/// One step of Adam, for a parameter and its moments. See `coix_adam`.
///
/// - Throws: ``CoixError/memory(what:bytes:)``.
package func adamStep(
  _ parameter: inout Tensor, _ gradient: Tensor, _ firstMoment: inout Tensor, _ secondMoment: inout Tensor,
  _ rate: Float,
  _ beta1: Double, _ beta2: Double, _ epsilon: Float, _ correction1: Float, _ correction2: Float
) throws {
  try parameter.makeUnique()
  try firstMoment.makeUnique()
  try secondMoment.makeUnique()
  coix_adam(
    parameter.pointer, gradient.pointer, firstMoment.pointer, secondMoment.pointer,
    parameter.shape.elementCount, rate, beta1, beta2, epsilon, correction1, correction2)
}

extension Tensor {
  /// Makes sure that no other tensor shares this tensor's buffer, by a copy if need be.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)`` if there is no memory for a buffer of its own.
  fileprivate mutating func makeUnique() throws(CoixError) {
    if isKnownUniquelyReferenced(&storage) && storage.isPlain && node < 0 { return }
    guard let copy = Tensor(undefined: shape) else { throw Storage.lastRefusal }
    copy.pointer.update(from: pointer, count: shape.elementCount)
    self = copy
  }
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
