import CoixParallel

extension Objective {
  /// The forward Kullback-Leibler divergence of the proposal from the target, up to a constant: the target is
  /// not optimised.
  ///
  /// -Σ (W (log q + log q') - w log q'), with the normalised incoming weights w and outgoing weights W (no
  /// gradients), the density q of this step's kernel, and the density q' of the proposal before it. The proposal's
  /// samples are fixed: no gradient flows through what it draws.
  /// Zimmermann, Wu, Esmaeili and van de Meent, "Nested variational inference", 2021.
  public static let fkl = Objective("fkl", readsValues: false, fixesSamples: true) { inputs in
    let auxiliary = inputs.auxiliaryLogProb
    let surrogate = inputs.forwardLogProb + auxiliary
    return -(inputs.outgoingWeight.weighing(surrogate) - inputs.incomingWeight.weighing(auxiliary))
  }
}
