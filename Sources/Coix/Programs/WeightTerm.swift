import CoixParallel

/// What one site adds to the log-weight of each particle.
struct WeightTerm {
  let site: String
  /// 1 for log-probabilities that are added, -1 for those that are subtracted.
  let sign: Float
  /// The site's log-probability, one number for each particle.
  var logDensity: Tensor
  /// Whether the site has no value, only a log-probability.
  let isFactor: Bool
}

extension Machine {
  /// The terms of some sites; none unless an error in the weights is being explained.
  func weightTerms(_ sites: [Site], sign: Float = 1, where isIncluded: (Site) -> Bool = { _ in true })
    -> [WeightTerm]
  {
    guard keepsWeightTerms else { return [] }
    return sites.filter(isIncluded).map {
      WeightTerm(
        site: $0.name, sign: sign, logDensity: sum([$0]) ?? Tensor(0), isFactor: $0.value.shape.last == 0)
    }
  }
}

extension BarrierContext {
  /// Calls `body`. If it throws that the weights of an instance have no meaning, adds the site that is to
  /// blame to the error.
  func namingSites<Result>(of terms: [WeightTerm], _ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let error as CoixError {
      guard case .weights(let instance, let reason) = error,
        let (term, isImpossible) = term(in: terms, toBlameFor: instance.row)
      else { throw error }
      let isOutside = term.sign > 0 && !term.isFactor && isImpossible
      let advice =
        isOutside
        ? ": the value is outside of the distribution's support, or too improbable for a float; "
          + "EvaluationOptions(checks: true) looks at parameters and values" : ""
      throw CoixError.atSite(
        name: term.site, error: .weights(instance: instance, reason: reason + advice))
    }
  }

  /// The term of the first site with a NaN for one of the instance's particles; without one, of the first
  /// that adds +inf; without one, of the site that adds -inf to most of the particles.
  ///
  /// - Returns: the term, and whether it adds -inf to every particle.
  private func term(
    in terms: [WeightTerm], toBlameFor instance: Int
  ) -> (term: WeightTerm, isImpossible: Bool)? {
    var (notANumber, infinite, impossible): (WeightTerm?, WeightTerm?, WeightTerm?)
    var most = 0
    for term in terms {
      var (hasNaN, hasInfinity, count) = (false, false, 0)
      population.forEachParticle(of: instance, in: population.whole(term.logDensity)) { logDensity in
        let added = term.sign * logDensity
        hasNaN = hasNaN || added.isNaN
        hasInfinity = hasInfinity || added == .infinity
        count += added == -.infinity ? 1 : 0
      }
      if hasNaN { notANumber = notANumber ?? term }
      if hasInfinity { infinite = infinite ?? term }
      if count > most { (impossible, most) = (term, count) }
    }
    if let found = notANumber ?? infinite { return (found, false) }
    return impossible.map { ($0, most == population.particles) }
  }
}
