import CoixKernels

extension ResamplingScheme {
  /// The random numbers that the scheme takes for `count` positions in each instance.
  private func randomNumbers(key: PRNGKey, count: Int, instances: Int) -> Tensor {
    switch self {
    case .systematic: Draw(key: key, shape: [instances]).uniform()
    case .stratified: Draw(key: key, shape: [count, instances]).uniform()
    case .multinomial, .residual: Draw(key: key, shape: [count + 1, instances]).exponential()
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

  /// The ancestors of `count` particles in each instance: rows of `[particles, instances]`, one for each of `[count, instances]`.
  ///
  /// - Throws: ``CoixError/weights(step:instance:reason:)`` as for ``WeightMoments``; ``CoixError/memory(what:bytes:)`` for more rows
  ///   than can be numbered or held.
  package func ancestors(
    logWeights: Tensor, key: PRNGKey, count: Int, step: String, workers: Workers
  ) throws -> [Int32] {
    let weights = try logWeights.validated()
    let particles = weights.shape[0]
    let instances = weights.shape[1]
    // One row more, for the spacings; an index, random numbers, and positions in double.
    try RowIndex.check(
      Swift.max(Swift.min(count, Int(Int32.max)) + 1, particles), instances, floats: 4, for: "resampling")
    let random = try randomNumbers(key: key, count: count, instances: instances).validated()
    let sortsPositions = self == .multinomial || self == .residual
    var positions = [Double](repeating: 0, count: sortsPositions ? count * instances : 0)
    var index = [Int32](repeating: 0, count: count * instances)
    let status = coix_resample(
      kernel, weights.pointer, random.pointer, &positions, &index, particles, instances, count,
      Int32(workers.team))
    if status != 0 {
      _ = try WeightMoments(weights, particles: particles, instances: instances, step: step, workers)
      throw CoixError.weights(
        step: step, instance: RowLocation(row: Int(status - 1)), reason: "the weights cannot be resampled")
    }
    if instances > 1 {
      for row in index.indices { index[row] = index[row] * Int32(instances) + Int32(row % instances) }
    }
    return index
  }
}
