import CoixParallel

extension Machine {
  /// The sum of the log-probabilities of some sites, over their local plates too: one number for each row;
  /// nil for no sites.
  func sum(_ sites: [Site], where isIncluded: (Site) -> Bool = { _ in true }) -> Tensor? {
    var sum: Tensor?
    for site in sites where isIncluded(site) {
      let logProb = local(site.logProb)
      let total = logProb.shape.rank == 0 ? logProb : logProb.sum()
      sum = sum.map { $0 + total } ?? total
    }
    return sum
  }

  /// The log-weight of a program that has run: that of the weighted program within it, plus the
  /// log-probabilities of sites observed outside of that program; nil if it has neither.
  func logWeight(_ metrics: RunningMetrics?, _ sites: [Site]) -> Tensor? {
    let observed = sum(sites) { $0.isObserved && !$0.isWeighed }
    guard let weight = metrics?.logWeight.map({ local($0) }) else { return observed }
    return observed.map { weight + $0 } ?? weight
  }

  /// Completes the weight of a program that has run, so that it is never nil.
  ///
  /// Sites that are observed around a weighted program change its weight. Effective sample size and evidence
  /// are then those of the new weight.
  func completeWeight(_ metrics: inout RunningMetrics, _ sites: [Site]) {
    let isChanged = metrics.logWeight != nil && sites.contains { $0.isObserved && !$0.isWeighed }
    let weight = logWeight(metrics, sites) ?? Tensor(0)
    metrics.logWeight = weight
    metrics.weightTerms += weightTerms(sites) { $0.isObserved && !$0.isWeighed }
    guard isChanged else { return }
    if !hasParticles {
      metrics.forgetSummary()
    } else if metrics.ess != nil {
      metrics.summarize(weight)
    }
  }

  /// Completes the weight of the program that has run in a scope.
  func completeWeight(of scope: Scope) throws {
    let recorder = try recorder(scope)
    var metrics = recorder.metrics ?? RunningMetrics()
    // Past sites are in the weight already. Errors name sites as the finished trace does.
    completeWeight(&metrics, keepsWeightTerms ? try finishedTrace(scope).sites : recorder.recorded.recent)
    recorder.metrics = metrics
  }
}
