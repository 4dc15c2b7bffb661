import CoixParallel

/// When ``resample(_:count:scheme:when:)`` draws particles anew. Each instance decides for itself.
public enum ResamplingCondition: Hashable, Sendable {
  /// At every evaluation.
  case always
  /// Where the effective sample size 1 / Σ w² of the normalised cumulative weights w is below this fraction
  /// of the number of particles, from 0 (never) to 1 (wherever the weights differ). In other instances the
  /// particles keep their weights.
  ///
  /// Liu and Chen, "Blind deconvolution via sequential imputations", 1995; Del Moral, Doucet and Jasra, "On
  /// adaptive resampling strategies for sequential Monte Carlo methods", 2012.
  case ess(below: Double)

  /// Throws unless the condition has a meaning and allows for a number of particles.
  func validate(for count: ParticleCount) throws {
    guard case .ess(let fraction) = self else { return }
    guard (0...1).contains(fraction) else {
      throw CoixError.argument("resample: the fraction of particles must lie between 0 and 1, is \(fraction)")
    }
    guard case .same = count else {
      throw CoixError.argument("resample: a step that may not resample cannot change the number of particles")
    }
  }

  /// For each instance whether its particles are to be drawn anew.
  func isMet(by logWeights: LogWeights) throws -> [Bool] {
    let population = logWeights.population
    try Memory.require(
      population.instances, of: Bool.self, for: "resampling \(population.instances) instances")
    guard case .ess(let fraction) = self else {
      return Array(repeating: true, count: population.instances)
    }
    let moments = try logWeights.moments()
    return (0..<population.instances).map {
      moments.sampleSize($0) < fraction * Double(population.particles)
    }
  }
}
