import CoixParallel

/// A rule that turns gradients into steps.
///
/// A step that would leave numbers behind that are not finite is skipped: parameters and the optimiser's
/// state stay as they are. It is counted, and ``lastSkippedStep`` says why. After a hundred skipped steps in
/// a row training goes nowhere, which is an error.
public protocol Optimizer<Parameters>: Sendable {
  /// What it optimises.
  associatedtype Parameters: TensorTree

  /// Moves `parameters` against `gradient`.
  ///
  /// - Returns: whether the step was taken.
  /// - Throws: `CoixError.shape(operation:shapes:reason:)` if the two trees don't match;
  ///   `CoixError.argument(_:)` for a setting, such as the learning rate, outside of its domain;
  ///   `CoixError.gradient(_:)` at the hundredth step in a row that is skipped, and at each that follows it.
  @discardableResult
  mutating func update(_ parameters: inout Parameters, along gradient: Parameters) throws -> Bool

  /// The steps that were taken.
  var stepCount: Int { get }

  /// The steps that were skipped.
  var skippedCount: Int { get }

  /// Why the last of them was; nil while there are none.
  var lastSkippedStep: SkippedStep? { get }
}

extension TensorTree {
  /// Whether every number is finite.
  public var isFinite: Bool { flattened.allSatisfy(\.isFinite) }
}
