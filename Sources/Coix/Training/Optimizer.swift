import CoixParallel

/// A rule that turns gradients into steps.
///
/// A step after which a number would not be finite is skipped: parameters and the optimiser's state stay as
/// they are. Skipped steps are counted, and ``lastSkippedStep`` says why the last one was skipped. A hundred
/// skipped steps in a row are an error, since training makes no progress.
///
/// An optimiser's tensors are its state: what changes from step to step, and settings that may be changed.
public protocol Optimizer<Parameters>: TensorTree {
  /// The parameters that the optimiser moves.
  associatedtype Parameters: TensorTree

  /// Moves `parameters` against `gradient`.
  ///
  /// - Returns: whether the step was taken.
  /// - Throws: `CoixError.shape(operation:shapes:reason:)` if the two trees don't match;
  ///   `CoixError.argument(_:)` for a setting, such as the learning rate, outside of its domain;
  ///   `CoixError.gradient(_:)` at the hundredth step in a row that is skipped, and at each that follows it.
  @discardableResult
  mutating func update(_ parameters: inout Parameters, along gradient: Parameters) throws -> Bool

  /// Counts a step that was replayed from a recording of ``update(_:along:)``, which has changed the tensors.
  mutating func noteStep()

  /// The number of steps that were taken.
  var stepCount: Int { get }

  /// The number of steps that were skipped.
  var skippedCount: Int { get }

  /// Why the last skipped step was skipped; nil if no step was.
  var lastSkippedStep: SkippedStep? { get }
}

extension TensorTree {
  /// Whether every number is finite.
  public var isFinite: Bool { flattened.allSatisfy(\.isFinite) }
}
