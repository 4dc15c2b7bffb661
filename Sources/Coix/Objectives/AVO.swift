import CoixParallel

extension Objective {
  /// The annealed variational objective: -Σ log v / S, with the incremental weights v of S particles. The
  /// weights that the particles came in with play no part.
  ///
  /// Huang, Tan, Lacoste and Courville, "Improving explorability in variational inference with annealed
  /// variational objectives", 2018.
  public static let avo = Objective(
    "avo", rowLoss: { incremental, count in incremental * Tensor(-1 / Float(count)) }, readsValues: false,
    terms: { inputs in
      let count = inputs.incomingLogWeight.particleCount ?? inputs.incrementalLogWeight.particleCount ?? 1
      return inputs.incrementalLogWeight * Tensor(-1 / Float(count))
    })
}
