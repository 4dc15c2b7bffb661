/// A value made of tensors: what programs take and return, and what gradients are taken with respect to.
///
/// Tensors, arrays, dictionaries (in the order of their keys), optionals and ``Tuple`` are trees. A structure
/// becomes one by visiting its parts, in any fixed order:
///
/// ```swift
/// struct Encoder: TensorTree {
///   var hidden: Dense
///   var scale: Tensor
///   mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
///     try visitor.visit("hidden", &hidden)
///     try visitor.visit("scale", &scale)
///   }
/// }
/// ```
public protocol TensorTree: Sendable {
  /// Visits each part, by name.
  mutating func visitTensors(_ visitor: inout TensorVisitor) throws
}

/// Walks through a ``TensorTree`` and, where asked to, keeps track of names.
public struct TensorVisitor {
  /// What the visitor does with each tensor. It may replace the tensor.
  @usableFromInline
  enum Action {
    case plain((inout Tensor) throws -> Void)
    case named((String, inout Tensor) throws -> Void)
  }

  @usableFromInline let action: Action
  /// Whether the action wants names.
  @usableFromInline let isNamed: Bool
  /// The names of the parts that lead from the root to the visitor's position.
  @usableFromInline var path: [String] = []

  init(_ action: Action) {
    self.action = action
    isNamed = if case .named = action { true } else { false }
  }

  /// Visits a part of a tree.
  ///
  /// - Throws: what the visit throws.
  @inlinable
  public mutating func visit<Part: TensorTree>(_ name: @autoclosure () -> String, _ part: inout Part) throws {
    guard isNamed else { return try part.visitTensors(&self) }
    path.append(name())
    try part.visitTensors(&self)
    path.removeLast()
  }

  @usableFromInline
  mutating func visit(_ tensor: inout Tensor) throws {
    switch action {
    case .plain(let body): try body(&tensor)
    case .named(let body): try body(path.joined(separator: "."), &tensor)
    }
  }
}

extension TensorTree {
  /// Calls `body` with each tensor of the tree. `body` may replace the tensor.
  package mutating func forEachTensor(_ body: (inout Tensor) throws -> Void) throws {
    try withoutActuallyEscaping(body) { body in
      var visitor = TensorVisitor(.plain(body))
      try visitTensors(&visitor)
    }
  }

  /// The tree with each tensor replaced.
  ///
  /// - Throws: what `transform` throws.
  public func mapTensors(_ transform: (Tensor) throws -> Tensor) throws -> Self {
    var result = self
    try result.forEachTensor { $0 = try transform($0) }
    return result
  }

  /// The tensors, in order.
  package var flattened: [Tensor] {
    var result: [Tensor] = []
    result.reserveCapacity(8)
    var copy = self
    // Visiting throws only what its closure throws, which is nothing.
    try? copy.forEachTensor { result.append($0) }
    return result
  }

  /// The tensors with their names: the names of the parts that lead to a tensor, joined by dots.
  public var namedTensors: [(name: String, tensor: Tensor)] {
    var result: [(String, Tensor)] = []
    var copy = self
    var visitor = TensorVisitor(.named { result.append(($0, $1)) })
    // Visiting throws only what its closure throws, which is nothing.
    try? copy.visitTensors(&visitor)
    return result
  }

  /// The tree with each tensor replaced, by name.
  ///
  /// - Throws: what `transform` throws.
  public func mapNamedTensors(_ transform: (_ name: String, Tensor) throws -> Tensor) throws -> Self {
    var result = self
    try withoutActuallyEscaping(transform) { transform in
      var visitor = TensorVisitor(.named { $1 = try transform($0, $1) })
      try result.visitTensors(&visitor)
    }
    return result
  }
}

extension Tensor: TensorTree {
  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws { try visitor.visit(&self) }
}

extension Array: TensorTree where Element: TensorTree {
  @inlinable
  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    for index in indices { try visitor.visit(String(index), &self[index]) }
  }
}

extension Dictionary: TensorTree where Key == String, Value: TensorTree {
  @inlinable
  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    for key in keys.sorted() {
      guard var value = self[key] else { continue }
      try visitor.visit(key, &value)
      self[key] = value
    }
  }
}

extension Optional: TensorTree where Wrapped: TensorTree {
  @inlinable
  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    guard var value = self else { return }
    try value.visitTensors(&visitor)
    self = value
  }
}

/// Several trees side by side: the arguments or the results of a program.
public struct Tuple<each Part: TensorTree>: TensorTree {
  /// The parts, as a Swift tuple; the part itself where there is one.
  public var values: (repeat each Part)

  /// A tuple of the given parts.
  @inlinable
  public init(_ parts: repeat each Part) { values = (repeat each parts) }

  /// A tuple of the parts of a Swift tuple.
  @inlinable
  public init(values: (repeat each Part)) { self.values = values }

  @inlinable
  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    var index = 0
    func visited<T: TensorTree>(_ part: T) throws -> T {
      var part = part
      try visitor.visit(String(index), &part)
      index += 1
      return part
    }
    values = (repeat try visited(each values))
  }
}
