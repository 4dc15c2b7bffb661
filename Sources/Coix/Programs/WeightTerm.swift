import CoixParallel

/// What one site adds to the log-weight of each particle.
struct WeightTerm {
  let site: String
  /// 1 for log-probabilities that are added, -1 for those that are subtracted.
  let sign: Float
  /// The site's log-probability, one number for each particle.
  var logDensity: Tensor
}

extension Machine {
  /// The terms of some sites; none unless weights are to be explained.
  func weightTerms(_ sites: [Site], sign: Float = 1, where isIncluded: (Site) -> Bool = { _ in true })
    -> [WeightTerm]
  {
    guard keepsWeightTerms else { return [] }
    return sites.filter(isIncluded).map {
      WeightTerm(site: $0.name, sign: sign, logDensity: sum([$0]) ?? Tensor(0))
    }
  }
}

extension BarrierContext {
  /// Calls `body`, and names the site that is to blame where it throws that an instance's weights have no
  /// meaning.
  func namingSites<Result>(of terms: [WeightTerm], _ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let error as CoixError {
      guard case .weights(_, let instance, _) = error, let site = site(in: terms, toBlameFor: instance.row)
      else { throw error }
      throw CoixError.atSite(name: site, error: error)
    }
  }

  /// The first site with a NaN for one of the instance's particles; else the first that adds +inf; else the
  /// one that adds -inf to most of them.
  private func site(in terms: [WeightTerm], toBlameFor instance: Int) -> String? {
    var (notANumber, infinite, impossible): (String?, String?, String?)
    var most = 0
    for term in terms {
      var (hasNaN, hasInfinity, count) = (false, false, 0)
      population.forEachParticle(of: instance, in: population.whole(term.logDensity)) { logDensity in
        let added = term.sign * logDensity
        hasNaN = hasNaN || added.isNaN
        hasInfinity = hasInfinity || added == .infinity
        count += added == -.infinity ? 1 : 0
      }
      if hasNaN { notANumber = notANumber ?? term.site }
      if hasInfinity { infinite = infinite ?? term.site }
      if count > most { (impossible, most) = (term.site, count) }
    }
    return notANumber ?? infinite ?? impossible
  }
}
