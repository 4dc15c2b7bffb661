import CoixParallel

extension Objective {
  /// The reverse Kullback-Leibler divergence of the proposal from the target.
  ///
  /// -Σ w (log v + (1 + v̂ - Σ w v̂) log q') - W log p, with the normalised incoming weights w and outgoing
  /// weights W (no gradients), the incremental log-weights log v (v̂ without gradient), what the proposal
  /// extends, q', and the target p. Zimmermann, Wu, Esmaeili and van de Meent, "Nested variational
  /// inference", 2021.
  public static let rkl = Objective("rkl", readsValues: false) { inputs in
    let weight = inputs.incomingWeight
    let step = inputs.incrementalLogWeight.detached
    let product = weight.weighing(step)
    let mean = inputs.isPlated ? product.summedOverParticles : product
    let surrogate = inputs.incrementalLogWeight + (1 + step - mean) * inputs.auxiliaryLogProb
    return -(weight.weighing(surrogate) - inputs.outgoingWeight.weighing(inputs.targetLogProb))
  }
}
