import CoixKernels

// What optimisers need of tensors.

extension Tensor {
  /// Whether every number of a uniform tensor is finite.
  package var isFinite: Bool { !isPoisoned && coix_first_nonfinite(pointer, shape.elementCount) < 0 }
}

/// One step of Adam: the new parameter, and the moments after it. See `coix_adam`.
package func adamStep(
  _ parameter: Tensor, _ gradient: Tensor, _ firstMoment: inout Tensor, _ secondMoment: inout Tensor, _ rate: Float,
  _ beta1: Float, _ beta2: Float, _ epsilon: Float, _ correction1: Float, _ correction2: Float
) -> Tensor {
  let result = parameter.copied()
  firstMoment.makeUnique()
  secondMoment.makeUnique()
  coix_adam(
    result.pointer, gradient.pointer, firstMoment.pointer, secondMoment.pointer, parameter.shape.elementCount, rate,
    beta1, beta2, epsilon, correction1, correction2)
  return result
}

extension Tensor {
  /// Sees to it that nobody else sees this tensor's buffer.
  fileprivate mutating func makeUnique() {
    if !isKnownUniquelyReferenced(&storage) { self = copied() }
  }

  /// A constant with the same numbers in a buffer of its own.
  fileprivate func copied() -> Tensor {
    let result = Tensor(undefined: shape)
    result.pointer.update(from: pointer, count: shape.elementCount)
    return result
  }
}

extension TensorTree {
  /// Two trees of one structure, combined tensor by tensor.
  ///
  /// - Throws: ``CoixError/shape(operation:shapes:reason:)`` if their tensors don't match in number or shape.
  package func zipped(with other: Self, _ combine: (Tensor, Tensor) throws -> Tensor) throws -> Self {
    var others = other.flattened.makeIterator()
    let result = try mapTensors { tensor in
      guard let next = others.next(), next.shape == tensor.shape else {
        throw CoixError.shape(operation: "update", shapes: [tensor.shape], reason: "two trees of different structure")
      }
      return try combine(tensor, next)
    }
    guard others.next() == nil else {
      throw CoixError.shape(operation: "update", shapes: [], reason: "two trees of different structure")
    }
    return result
  }

  /// The tensors, in order.
  package var flattened: [Tensor] {
    var result: [Tensor] = []
    var copy = self
    // Visiting throws only what its closure throws, which is nothing.
    try? copy.forEachTensor { result.append($0) }
    return result
  }
}
