import CoixParallel

// What objectives are made of: normalised weights, and sums of log-probabilities over some of the sites.

extension ObjectiveInputs {
  /// The plates' axes: those of the weights.
  var batchRank: Int { max(incomingLogWeight.shape.rank, incrementalLogWeight.shape.rank) }

  /// The incoming log-weight plus what this step added.
  var outgoingLogWeight: Tensor { incomingLogWeight + incrementalLogWeight }

  /// The normalised incoming weights, without a gradient; 1 for a single particle.
  var incomingWeight: Tensor {
    let shape =
      Shape.broadcast(incomingLogWeight.shape, incrementalLogWeight.shape) ?? incomingLogWeight.shape
    return isPlated ? incomingLogWeight.broadcast(to: shape).normalizedOverParticles : 1
  }

  /// The normalised outgoing weights, without a gradient; 1 for a single particle.
  var outgoingWeight: Tensor { isPlated ? outgoingLogWeight.normalizedOverParticles : 1 }

  /// The log-probability of the target's own sites: those that no composition made auxiliary.
  var targetLogProb: Tensor { target.logProb(batchRank: batchRank) { !$0.key.isSuffixed } }

  /// The log-probability of what the proposal extends: of sites that a composition made auxiliary.
  var auxiliaryLogProb: Tensor { proposal.logProb(batchRank: batchRank, where: \.isAuxiliary) }

  /// The log-probability of what this step's own kernel draws.
  var forwardLogProb: Tensor { proposal.logProb(batchRank: batchRank) { !$0.isAuxiliary } }
}

extension Site {
  /// Whether the site ran in a program that a composition made auxiliary.
  fileprivate var isAuxiliary: Bool { key.isSuffixed || isSuffixed }
}

extension Trace {
  /// The sum of some sites' log-probabilities, and over their axes beyond the first `batchRank`; 0 for no
  /// sites.
  func logProb(batchRank: Int, where isIncluded: (Site) -> Bool) -> Tensor {
    sites.filter(isIncluded).reduce(Tensor(0)) { sum, site in sum + site.logProb.summed(beyond: batchRank) }
  }
}

extension Tensor {
  /// The sum over the axes from number `rank` on; with fewer axes, further ones of size 1 at the end.
  fileprivate func summed(beyond rank: Int) -> Tensor {
    if shape.rank > rank { return sum(axes: Array(rank..<shape.rank)) }
    return shape.rank == rank
      ? self : reshaped(to: shape.appending(Shape([Int](repeating: 1, count: rank - shape.rank))))
  }

  /// The product with `value`, but 0 where this weight is 0, whatever the value there.
  func weighing(_ value: Tensor) -> Tensor { self * select(self, value, Tensor(0)) }
}
