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
      guard case .weights(let step, let instance, let reason) = error,
        let (term, added) = term(in: terms, toBlameFor: instance.row)
      else { throw error }
      let isOutside = term.sign > 0 && !term.isFactor && added.allSatisfy { $0 == -.infinity }
      let advice =
        isOutside
        ? ": the value is outside of the distribution's support, or too improbable for a float; "
          + "EvaluationOptions(checks: true) looks at parameters and values" : ""
      throw CoixError.atSite(
        name: term.site, error: .weights(step: step, instance: instance, reason: reason + advice))
    }
  }

  /// The term of the first site with a NaN for one of the instance's particles; without one, of the first that
  /// adds +inf; without one, of the site that adds -inf to most of the particles.
  private func term(in terms: [WeightTerm], toBlameFor instance: Int) -> (WeightTerm, added: [Float])? {
    let numbers = terms.map { term in
      let rows = wholePlate(term.logDensity).scalars
      return (term, added: (0..<particles).map { term.sign * rows[$0 * instances + instance] })
    }
    if let broken = numbers.first(where: { $0.added.contains(where: \.isNaN) }) { return broken }
    if let infinite = numbers.first(where: { $0.added.contains(.infinity) }) { return infinite }
    var (found, most): ((WeightTerm, added: [Float])?, Int) = (nil, 0)
    for number in numbers {
      let count = number.added.count { $0 == -.infinity }
      if count > most { (found, most) = (number, count) }
    }
    return found
  }
}
