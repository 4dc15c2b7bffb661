import CoixParallel

extension Objective {
  /// Reweighted wake-sleep: -Σ W (log p - log q' + log q), with the normalised outgoing weights W (no
  /// gradient), the target's density p, the density q of this step's kernel, and the density q' of the
  /// proposal before it. The proposal's samples are fixed: no gradient flows through what it draws.
  ///
  /// Bornschein and Bengio, "Reweighted wake-sleep", 2015; Le, Kosiorek, Siddharth, Teh and Wood, "Revisiting
  /// reweighted wake-sleep for models with stochastic control flow", 2019.
  public static let rws = Objective("rws", readsValues: false, fixesSamples: true) { inputs in
    let surrogate = inputs.targetLogProb - inputs.auxiliaryLogProb + inputs.forwardLogProb
    return -inputs.outgoingWeight.weighing(surrogate)
  }
}
