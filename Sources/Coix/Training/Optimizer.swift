import CoixParallel

/// A rule that turns gradients into steps.
public protocol Optimizer<Parameters>: Sendable {
  /// What it optimises.
  associatedtype Parameters: TensorTree

  /// Moves `parameters` against `gradient`.
  ///
  /// A gradient that is not finite leaves the parameters and the optimiser's state untouched and is counted.
  ///
  /// - Returns: whether the step was taken.
  /// - Throws: `CoixError.shape(operation:shapes:reason:)` if the two trees don't match.
  @discardableResult
  mutating func update(_ parameters: inout Parameters, along gradient: Parameters) throws -> Bool

  /// The steps that were taken.
  var stepCount: Int { get }

  /// The steps that were skipped for gradients that are not finite.
  var skippedCount: Int { get }
}

extension TensorTree {
  /// Whether every number is finite.
  public var isFinite: Bool { flattened.allSatisfy(\.isFinite) }
}
