import CoixParallel

extension Objective {
  /// The objective of amortized population Gibbs samplers: reweighted wake-sleep for a block of variables,
  /// with weights of its own for each conditionally independent element of the block.
  ///
  /// The block are the sites that the target has with a `_PREV_` version too. Its axes are those that the
  /// block and the observations have in common; sites without these axes (global variables) cancel. Then it
  /// is -Σ W (log p + log q), with W = softmax of log p + log r - log q - log q' over particles (no
  /// gradient), the target p, the reverse kernel r (its `_PREV_` sites), the forward kernel q and the
  /// proposal's other sites q'. The proposal's samples are fixed: no gradient flows through what it draws. Wu, Zimmermann, Sennesh, Le and van de Meent, "Amortized population Gibbs
  /// samplers with neural sufficient statistics", 2020.
  public static let apg = Objective("apg", readsValues: false, fixesSamples: true) { inputs in
    let block = Set(
      inputs.target.sites.filter(\.key.isSuffixed).map { $0.key.suffixed(-1) })
    let axes = commonAxes(
      inputs.target.sites.filter { $0.isObserved || block.contains($0.key) }.map(\.logProb.shape))
    let rank = axes.rank
    let globals = Set(
      inputs.target.sites.filter {
        !$0.key.isSuffixed && Shape($0.logProb.shape.prefix(rank)) != axes
      }
      .map(\.key))

    let target = inputs.target.logProb(batchRank: rank) {
      !$0.key.isSuffixed && !globals.contains($0.key)
    }
    let reverse = inputs.target.logProb(batchRank: rank) { $0.key.isSuffixed }
    let forward = inputs.proposal.logProb(batchRank: rank) { block.contains($0.key) }
    let proposal = inputs.proposal.logProb(batchRank: rank) {
      !block.contains($0.key) && !globals.contains($0.key)
    }
    let logWeight = target + reverse - (forward + proposal)
    let weight = rank > 0 ? logWeight.normalizedOverParticles : 1
    return -weight.weighing(target + forward)
  }

  /// The leading axes that shapes have in common.
  private static func commonAxes(_ shapes: [Shape]) -> Shape {
    guard let first = shapes.first else { return .scalar }
    let rank = shapes.reduce(first.rank) { rank, shape in
      zip(first.prefix(rank), shape).prefix { $0 == $1 }.count
    }
    return Shape(first.prefix(rank))
  }
}
