import CoixParallel

extension Objective {
  /// The importance-weighted autoencoder's objective: -Σ W (log w + log v), with the normalised outgoing
  /// weights W (no gradient), the incoming weights w and the incremental weights v.
  ///
  /// Its gradient is that of -log Σ w v. A particle of weight zero adds nothing. Burda, Grosse and
  /// Salakhutdinov, "Importance weighted autoencoders", 2016.
  public static let iwae = Objective("iwae", readsValues: false) { inputs in
    -inputs.outgoingWeight.weighing(inputs.outgoingLogWeight)
  }
}
