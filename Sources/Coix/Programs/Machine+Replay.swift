import CoixParallel

extension Machine {
  /// Adds the sites and metrics of a program that has run to a scope, as if the program ran there again and
  /// drew the same values.
  ///
  /// All probability of a latent site is at the value that it has: if the scope gives it another one, its
  /// log-probability is -inf. Each latent site takes a key from the scope's stream, as one that draws does,
  /// and so do those that were let go of (``RunningMetrics/forgottenDraws``).
  func replay(_ sites: [Site], _ metrics: RunningMetrics, into scope: Scope, _ treatment: SiteTreatment)
    throws
  {
    let recorder = try recorder(scope)
    recorder.stream.skip(metrics.forgottenDraws)
    for var site in sites {
      if !site.isObserved { recorder.stream.skip(1) }
      site.key = treatment.name(site.key)
      // At a barrier there may be no context to remember an error.
      guard !recorder.contains(site.key) else { throw CoixError.duplicateSite(site.name) }
      site.isSuffixed = false
      site.isWeighed = metrics.logWeight != nil
      site.isGiven = false
      if !site.isObserved {
        if let given = recorder.givenValue(site.key, shape: site.value.shape, plateSizes: batch) {
          let point = Delta(local(site.value), logDensity: local(site.logProb), eventRank: site.eventRank)
          site.logProb = treatment.scoring(point).logProb(of: given)
          site.value = given
          site.isGiven = true
        } else {
          site.value = treatment.handedOn(site.value)
          site.logProb = treatment.scored(site.logProb)
        }
      }
      recorder.append(site)
    }
    try recorder.merge(metrics)
  }

  /// The same for a program whose scope is closed. Its past sites stay unread if nothing happens to them.
  func replay(_ program: Recorder, into scope: Scope, _ treatment: SiteTreatment) throws {
    let recorder = try recorder(scope)
    let sites = recorder.takePast(of: program, treatment) ? program.recorded.recent : program.sites
    try replay(sites, program.metrics ?? RunningMetrics(), into: scope, treatment)
  }
}
