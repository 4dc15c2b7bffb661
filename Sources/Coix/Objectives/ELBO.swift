import CoixParallel

extension Objective {
  /// The negative evidence lower bound: -Σ w log v, with the normalised incoming weights w (no gradient) and
  /// the incremental weights v.
  ///
  /// Kingma and Welling, "Auto-encoding variational Bayes", 2014; weighted as in Zimmermann et al., "Nested
  /// variational inference", 2021.
  public static let elbo = Objective(
    "elbo", rowLoss: { incremental, count in incremental * Tensor(-1 / Float(count)) },
    needsEqualWeights: true, readsValues: false,
    terms: { inputs in -inputs.incomingWeight.weighing(inputs.incrementalLogWeight) })
}
