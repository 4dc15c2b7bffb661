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
  /// The terms of some sites; none unless an error in the weights is being explained.
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
  /// Calls `body`. If it throws that the weights of an instance have no meaning, adds the site that is to
  /// blame to the error.
  func namingSites<Result>(of terms: [WeightTerm], _ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let error as CoixError {
      guard case .weights(_, let instance, _) = error, let site = site(in: terms, toBlameFor: instance.row)
      else { throw error }
      throw CoixError.atSite(name: site, error: error)
    }
  }

  /// The first site with a NaN for one of the instance's particles; without one, the first that adds +inf;
  /// without one, the site that adds -inf to most of the particles.
  private func site(in terms: [WeightTerm], toBlameFor instance: Int) -> String? {
    let numbers = terms.map { term in
      let rows = wholePlate(term.logDensity).scalars
      return (site: term.site, added: (0..<particles).map { term.sign * rows[$0 * instances + instance] })
    }
    if let term = numbers.first(where: { $0.added.contains(where: \.isNaN) }) { return term.site }
    if let term = numbers.first(where: { $0.added.contains(.infinity) }) { return term.site }
    var (site, most): (String?, Int) = (nil, 0)
    for term in numbers {
      let count = term.added.count { $0 == -.infinity }
      if count > most { (site, most) = (term.site, count) }
    }
    return site
  }
}
