/// A value made of tensors: what programs take and return, and what gradients are taken with respect to.
///
/// Tensors, arrays, dictionaries (in the order of their keys), optionals and ``Tuple`` are trees. A structure becomes one by
/// visiting its parts, in any fixed order:
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

/// Walks through a ``TensorTree`` and keeps track of names.
public struct TensorVisitor {
  /// Called with each tensor, which it may replace.
  @usableFromInline let body: (_ name: String, inout Tensor) throws -> Void
  /// Whether `body` wants names; without, none are put together.
  @usableFromInline let isNaming: Bool
  @usableFromInline var path: [String] = []

  init(naming: Bool, _ body: @escaping (String, inout Tensor) throws -> Void) {
    self.body = body
    isNaming = naming
  }

  /// Visits a part of a tree.
  ///
  /// - Throws: what the visit throws.
  @inlinable
  public mutating func visit<Part: TensorTree>(_ name: @autoclosure () -> String, _ part: inout Part) throws {
    if isNaming { path.append(name()) }
    try part.visitTensors(&self)
    if isNaming { path.removeLast() }
  }

  @usableFromInline
  mutating func visit(_ tensor: inout Tensor) throws {
    try body(isNaming ? path.joined(separator: ".") : "", &tensor)
  }
}

extension TensorTree {
  /// Calls `body` with each tensor of the tree, which it may replace.
  mutating func forEachTensor(_ body: (inout Tensor) throws -> Void) throws {
    try withoutActuallyEscaping(body) { body in
      var visitor = TensorVisitor(naming: false) { try body(&$1) }
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

  /// The tensors with their names: the parts' names on the way to them, joined by dots.
  public var namedTensors: [(name: String, tensor: Tensor)] {
    var result: [(String, Tensor)] = []
    var copy = self
    var visitor = TensorVisitor(naming: true) { result.append(($0, $1)) }
    // Visiting throws only what the visitor does, and this one doesn't.
    try? copy.visitTensors(&visitor)
    return result
  }

  /// The tree with each tensor replaced, by name.
  ///
  /// - Throws: what `transform` throws.
  public func mapNamedTensors(_ transform: (_ name: String, Tensor) throws -> Tensor) throws -> Self {
    var result = self
    try withoutActuallyEscaping(transform) { transform in
      var visitor = TensorVisitor(naming: true) { $1 = try transform($0, $1) }
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
  public init(_ parts: repeat each Part) { values = (repeat each parts) }

  /// A tuple of the parts of a Swift tuple.
  public init(values: (repeat each Part)) { self.values = values }

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
