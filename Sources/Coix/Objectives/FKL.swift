import CoixParallel

extension Objective {
  /// The forward Kullback-Leibler divergence of the proposal from the target, up to a constant: the target is
  /// not optimised.
  ///
  /// -Σ W (log q + log q') - w log q', with the normalised incoming weights w and outgoing weights W (no
  /// gradients), this step's kernel q and what it extends, q'. Zimmermann, Wu, Esmaeili and van de Meent,
  /// "Nested variational inference", 2021.
  public static let fkl = Objective("fkl", readsValues: false) { inputs in
    let auxiliary = inputs.auxiliaryLogProb
    let surrogate = inputs.forwardLogProb + auxiliary
    return -(inputs.outgoingWeight.weighing(surrogate) - inputs.incomingWeight.weighing(auxiliary))
  }
}
