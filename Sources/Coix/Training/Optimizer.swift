import CoixParallel

/// A rule that turns gradients into steps.
///
/// A step after which a number would not be finite is skipped: parameters and the optimiser's state stay as
/// they are. Skipped steps are counted, and ``lastSkippedStep`` says why the last one was skipped. A hundred
/// skipped steps in a row are an error, since training makes no progress.
///
/// An optimiser's tensors are its state: what changes from step to step. Its settings, such as the learning rate, are not.
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

  /// The steps that were taken and skipped. What replays recorded steps counts them here.
  var counts: StepCounts { get set }
}

extension Optimizer {
  /// The number of steps that were taken.
  public var stepCount: Int { counts.taken }

  /// The number of steps that were skipped.
  public var skippedCount: Int { counts.skipped }

  /// Why the last skipped step was skipped; nil if no step was.
  public var lastSkippedStep: SkippedStep? { counts.lastSkipped }
}

extension TensorTree {
  /// Whether every number is finite.
  public var isFinite: Bool { flattened.allSatisfy(\.isFinite) }
}
