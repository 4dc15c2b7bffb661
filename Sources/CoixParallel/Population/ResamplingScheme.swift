import CoixKernels

/// How ancestors are drawn in proportion to weights: where the `count` positions lie at which the cumulative
/// weights are looked up.
///
/// Every scheme is unbiased: of a particle with normalised weight w there are count · w copies on average.
/// They differ in how far the number of copies strays from that (Douc, Cappé and Moulines, "Comparison of
/// resampling schemes for particle filtering", 2005). All take time linear in the number of particles, and a
/// seed gives the same ancestors on any number of threads.
///
/// Random numbers come from the resampling's own key, as `jax.random` draws them: position i of instance j
/// uses element (i, j) of a draw of shape `[count, instances]`.
public enum ResamplingScheme: String, CaseIterable, Sendable {
  /// Positions (u + i) / count with one uniform u for each instance: a draw of shape `[instances]`.
  ///
  /// The number of copies is count · w rounded up or down. The reference's scheme. Kitagawa, "Monte Carlo
  /// filter and smoother for non-Gaussian nonlinear state space models", 1996; Carpenter, Clifford and
  /// Fearnhead, "Improved particle filter for nonlinear problems", 1999.
  case systematic
  /// Positions (u(i) + i) / count with a uniform u(i) for each: a draw of shape `[count, instances]`.
  ///
  /// The number of copies is less than 2 away from count · w, and its variance never larger than with
  /// multinomial resampling (Douc et al. 2005). Kitagawa 1996.
  case stratified
  /// Independent positions, sorted.
  ///
  /// Their order statistics are made in linear time of exponential spacings, a draw of shape `[count + 1,
  /// instances]`: position i is E(0) + … + E(i) over the sum of all count + 1 (Devroye, "Non-uniform random
  /// variate generation", 1986, chapter V.3). Gordon, Salmond and Smith, "Novel approach to
  /// nonlinear/non-Gaussian Bayesian state estimation", 1993.
  case multinomial
  /// First ⌊count · w⌋ copies of each particle, in order. The R particles still missing are then drawn by
  /// multinomial resampling in proportion to the fractional parts, with the first R + 1 of its spacings.
  ///
  /// Liu and Chen, "Sequential Monte Carlo methods for dynamic systems", 1998.
  case residual
}

extension ResamplingScheme {
  /// The random numbers that the scheme takes for `count` positions in each instance.
  private func randomNumbers(key: PRNGKey, count: Int, instances: Int) -> Tensor {
    switch self {
    case .systematic: Draw(key: key, shape: [instances]).uniform()
    case .stratified: Draw(key: key, shape: [count, instances]).uniform()
    case .multinomial, .residual: Draw(key: key, shape: [count + 1, instances]).exponential()
    }
  }

  /// Whether the kernel needs room for sorted positions.
  private var sortsPositions: Bool {
    switch self {
    case .systematic, .stratified: false
    case .multinomial, .residual: true
    }
  }

  private var kernel: coix_resampling_scheme {
    switch self {
    case .systematic: COIX_SYSTEMATIC
    case .stratified: COIX_STRATIFIED
    case .multinomial: COIX_MULTINOMIAL
    case .residual: COIX_RESIDUAL
    }
  }

  /// The ancestors of `count` particles in each instance, given log-weights: row numbers, `[count, instances]`.
  ///
  /// - Parameter shared: the weights where each rank has its own alone.
  /// - Throws: as ``LogWeights/ancestors(_:key:count:where:)``.
  func ancestors(of count: Int, _ logWeights: LogWeights, _ shared: RankWeights?, key: PRNGKey) throws
    -> Numbers<Int32>
  {
    let population = logWeights.population
    let (particles, instances) = (population.particles, population.instances)
    // One row more, for the spacings. Four floats a row: an index, random numbers, and positions in double.
    try population.check(
      Swift.max(Swift.min(count, Int(Int32.max)) + 1, particles), floats: 4, for: "resampling")
    let rows = count * instances
    let children = shared == nil ? nil : population.shares(of: count)
    let index =
      try children.map { children in
        Numbers<Int32>(
          in: try RankRows(
            children, unit: MemoryLayout<Int32>.stride, name: children.ranks.makeName(),
            for: "resampling \(rows) rows"))
      } ?? Numbers<Int32>(count: rows, for: "resampling \(rows) rows")
    let positions = try Numbers<Double>(count: sortsPositions ? rows : 0, for: "resampling \(rows) rows")
    let random = try randomNumbers(key: key, count: count, instances: instances).validated()
    if let shared {
      if try shared.ancestors(
        kernel, random, positions: sortsPositions ? positions : nil, to: index, children)
      {
        return index
      }
    } else {
      let numbers = try logWeights.tensor.validated()
      let team = Int32(population.workers.team)
      let isResampled = coix_op_resample(
        kernel, numbers.pointer, random.pointer, sortsPositions ? positions.pointer : nil, index.pointer,
        particles, instances, count, team
      ).holds()
      if isResampled {
        if instances > 1 { coix_op_number_rows(index.pointer, rows, instances, team).run() }
        return index
      }
    }
    _ = try logWeights.moments()
    throw CoixError.weights(instance: RowLocation(row: 0), reason: "the weights cannot be resampled")
  }
}
