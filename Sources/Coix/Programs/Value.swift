import CoixParallel

/// A program's input or output, its type erased: what registers hold.
///
/// This is a class rather than an existential, so that casting the value back to its type compares two types
/// and does not search for a protocol conformance at run time.
class Value: @unchecked Sendable {
  // @unchecked: the one subclass has one constant, which is Sendable.

  /// The value with each tensor replaced.
  func mapTensors(_ transform: (Tensor) throws -> Tensor) throws -> Value {
    preconditionFailure("Value is abstract; Typed is its only subclass")
  }

  /// The tensors.
  var tensors: [Tensor] {
    preconditionFailure("Value is abstract; Typed is its only subclass")
  }

  /// The tensors with their names.
  var namedTensors: [(name: String, tensor: Tensor)] {
    preconditionFailure("Value is abstract; Typed is its only subclass")
  }

  /// The value, in the type that a program was written for.
  ///
  /// - Throws: `CoixError.illFormedProgram(_:)` for another type.
  final func typed<Tree: TensorTree>(as type: Tree.Type = Tree.self) throws -> Tree {
    guard let typed = self as? Typed<Tree> else {
      throw CoixError.illFormedProgram(
        "a program that takes \(Tree.self) was given \(Swift.type(of: self).treeName)")
    }
    return typed.tree
  }

  class var treeName: String { "nothing" }
}

/// A value with its type.
final class Typed<Tree: TensorTree>: Value, @unchecked Sendable {
  let tree: Tree

  init(_ tree: Tree) { self.tree = tree }

  override func mapTensors(_ transform: (Tensor) throws -> Tensor) throws -> Value {
    Typed(try tree.mapTensors(transform))
  }

  override var tensors: [Tensor] { tree.flattened }

  override var namedTensors: [(name: String, tensor: Tensor)] { tree.namedTensors }

  override class var treeName: String { "\(Tree.self)" }
}
