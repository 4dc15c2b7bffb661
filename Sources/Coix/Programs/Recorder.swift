import CoixParallel

/// Records the sites of one scope while a chunk runs: it has the scope's key stream, the sites so far, and
/// the values that sites are given instead of drawing.
final class Recorder {
  var stream: KeyStream
  /// The sites so far.
  var recorded: RecordedSites
  /// The values that latent sites are given, as sites of these names.
  private var given: [Site] = []
  /// Whether given values lose their gradient.
  private let detachesGiven: Bool
  /// Whether the values given are those that the evaluation gives to its own sites.
  let takesLatents: Bool
  /// The weights and losses of the programs that have run here; nil if none of them is weighted.
  var metrics: RunningMetrics?
  /// The number of the machine that may change this recorder.
  let machine: UInt64
  /// What of parameters and values is checked.
  let checks: CheckLevel
  /// In an enumeration, where latent sites take their values from.
  var path: SupportPath?

  /// The sites so far that a condition has given a value to.
  private(set) var conditioned: Set<SiteName> = []
  /// The sites so far that are hidden.
  private(set) var hidden: Set<SiteName> = []

  private var givenPositions: [SiteName: Int] = [:]

  init(
    key: PRNGKey, machine: UInt64, given: [Site] = [], detachesGiven: Bool = false,
    takesLatents: Bool = false, checks: CheckLevel
  ) {
    self.machine = machine
    stream = KeyStream(key)
    recorded = RecordedSites()
    self.detachesGiven = detachesGiven
    self.takesLatents = takesLatents
    self.checks = checks
    give(given)
  }

  /// A copy, for another machine.
  init(copying other: Recorder, machine: UInt64) {
    self.machine = machine
    stream = other.stream
    recorded = other.recorded
    given = other.given
    givenPositions = other.givenPositions
    detachesGiven = other.detachesGiven
    takesLatents = other.takesLatents
    metrics = other.metrics
    checks = other.checks
    path = other.path
    (conditioned, hidden) = (other.conditioned, other.hidden)
  }

  /// A recorder without sites that goes on where another one stands: with its keys, and the values that are
  /// given to its sites.
  convenience init(continuing other: Recorder) {
    self.init(copying: other, machine: other.machine)
    recorded = RecordedSites()
    metrics = nil
  }

  /// Goes on where a recorder that continued this one has come to. Its sites and metrics are not taken over.
  func resume(after other: Recorder) {
    stream = other.stream
    path = other.path
    (conditioned, hidden) = (other.conditioned, other.hidden)
  }

  /// Gives values to latent sites that come from now on, in place of those given before.
  func give(_ sites: [Site]) {
    given = sites
    givenPositions = [:]
    guard sites.count > RecordedSites.scanLimit else { return }
    for (position, site) in sites.enumerated() { givenPositions[site.key] = position }
  }

  /// The value that a latent site of this shape is given, with the chunk's rows; nil if it is given none.
  ///
  /// - Parameter plateSizes: those of the plates that the site is in.
  func givenValue(_ name: SiteName, shape: Shape, plateSizes: @autoclosure () -> [Int]) -> Tensor? {
    givenValue(name).map { fitted($0, to: name, shape: shape, plateSizes: plateSizes()) }
  }

  /// A value for a site of some shape, with its chunk's rows.
  private func fitted(
    _ value: Tensor, to name: SiteName, shape: Shape, plateSizes: @autoclosure () -> [Int]
  ) -> Tensor {
    if let failure = value.failure {
      remember(failure)
      return .nan
    }
    if let (plate, rows) = value.mappedOver {
      let plateSizes = plateSizes()
      let expected = plateSizes.reduce(1, *)
      guard !plateSizes.isEmpty, rows == expected else {
        remember(.rowCount(plate: plate, expected: expected, found: rows))
        return .nan
      }
    }
    let local = ExecutionContext.current.map { $0.local(value) } ?? value
    guard local.shape == shape else {
      remember(.eventShape(site: name.text, value: local.shape, distribution: shape))
      return .nan
    }
    return local
  }

  /// The value given for a latent site.
  private func givenValue(_ name: SiteName) -> Tensor? {
    let position =
      given.count > RecordedSites.scanLimit
      ? givenPositions[name] : given.firstIndex { $0.key == name && !$0.isObserved }
    guard let position, !given[position].isObserved else { return nil }
    let value = given[position].value
    return detachesGiven ? value.detached : value
  }

  /// Called when all sites have run: throws if a value is given to a name that no latent site has. In an
  /// enumeration the sites may differ from run to run; names are only collected here, and compared after the
  /// last run.
  func requireSitesOfGiven() throws {
    guard !given.isEmpty else { return }
    let names = sites.filter { !$0.isObserved }.map(\.name)
    guard path == nil else {
      path?.names.formUnion(names)
      return
    }
    try Self.requireSites(of: given.map(\.name), among: names)
  }

  /// Throws for the first of the names that values are given to which is not a latent site's.
  static func requireSites(of given: [String], among names: [String]) throws {
    let known = Set(names)
    guard let unknown = given.first(where: { !known.contains($0) }) else { return }
    throw CoixError.site(
      name: unknown,
      reason: "latents: gives it a value, but no latent site has this name; there are \(names.listed)")
  }

  // MARK: Sites

  /// All sites, in the order in which they ran. Those of the past are read.
  var sites: [Site] { recorded.all }

  /// Whether there is a site of this name.
  func contains(_ name: SiteName) -> Bool { recorded.contains(name) }

  /// Adds a site as it is. A second site of the same name is an error.
  func append(_ site: Site) {
    guard !site.key.base.isEmpty else { return remember(.site(name: "", reason: "every site needs a name")) }
    guard !contains(site.key) else {
      remember(.duplicateSite(site.name))
      return
    }
    recorded.append(site)
  }

  /// Takes over the past sites of a program that is replayed here, unread. As many keys are left out as they
  /// take.
  ///
  /// - Returns: false where the sites have to be looked at one by one: values may be given to them, gradients
  ///   stop at them, or there are sites before them.
  func takePast(of program: Recorder, _ treatment: SiteTreatment) -> Bool {
    guard given.isEmpty, !treatment.isDetached, !treatment.sticksTheLanding,
      let latentCount = recorded.takePast(of: program.recorded, suffixes: treatment.suffixes)
    else { return false }
    stream.skip(latentCount)
    return true
  }

  /// Adds the metrics of a program that has run here.
  ///
  /// - Throws: `CoixError.illFormedProgram(_:)` if that is the second one with a weight.
  func merge(_ later: RunningMetrics) throws {
    var merged = metrics ?? RunningMetrics()
    guard merged.logWeight == nil || later.logWeight == nil else {
      throw CoixError.illFormedProgram("compose: both programs are weighted; at most one of them may be")
    }
    merged.merge(later)
    metrics = merged
  }

  // MARK: Statements

  /// A latent site within local plates of the given sizes.
  func sample(
    _ name: String, from distribution: some Distribution, within local: Shape, treatment: SiteTreatment
  ) -> Tensor {
    let shape = distribution.shape
    if let expanded = expanded(distribution, of: shape, to: local) {
      return sample(name, from: expanded, within: local, treatment: treatment)
    }
    let key = treatment.name(SiteName(name))
    let name = key.text
    let context = ExecutionContext.current
    noteFailure(at: name, in: context)
    guard isDeclared(name, distribution, of: shape, within: local) else {
      noteFailure(at: name, in: context)
      return .nan
    }
    let plateSizes = treatment.plates.map(\.count)
    let isHidden = treatment.hidden.contains(key)
    if isHidden { note(key, in: \.hidden) }
    if let condition = treatment.conditions[key] {
      note(key, in: \.conditioned)
      let value = fitted(condition, to: key, shape: shape, plateSizes: plateSizes)
      if !isHidden {
        record(key, value, distribution, local, treatment, isObserved: true, isGiven: false, in: context)
      }
      return value
    }
    if isHidden { return hiddenDraw(key, distribution, shape, treatment, in: context) }
    let given = givenValue(key, shape: shape, plateSizes: plateSizes)
    let value =
      given
      ?? treatment.drawn(
        enumeratedValue(name, distribution)
          ?? distribution.sample(
            Draw(key: stream.next(), shape: shape, forParameters: distribution.parameters.map(\.tensor))))
    record(key, value, distribution, local, treatment, isObserved: false, isGiven: given != nil, in: context)
    return value
  }

  /// A draw that is no site of the trace.
  private func hiddenDraw(
    _ key: SiteName, _ distribution: some Distribution, _ shape: Shape, _ treatment: SiteTreatment,
    in context: ExecutionContext?
  ) -> Tensor {
    let name = key.text
    if path != nil {
      remember(
        .site(
          name: name, reason: "enumerate: the site is hidden (block), so that its values are not gone through"
        )
      )
    }
    let value = distribution.sample(
      Draw(key: stream.next(), shape: shape, forParameters: distribution.parameters.map(\.tensor)))
    check(name, value, distribution, isObserved: false, in: context)
    noteFailure(at: name, causedBy: distribution.failure, in: context)
    return treatment.drawn(value)
  }

  /// Notes that a combinator's treatment has met a site.
  private func note(_ key: SiteName, in names: ReferenceWritableKeyPath<Recorder, Set<SiteName>>) {
    if !self[keyPath: names].insert(key).inserted { remember(.duplicateSite(key.text)) }
  }

  /// The value that an enumeration gives to the next latent site.
  private func enumeratedValue(_ name: String, _ distribution: some Distribution) -> Tensor? {
    guard path != nil else { return nil }
    do {
      return try path?.take(name, distribution)
    } catch let error as CoixError {
      remember(error)
    } catch {
      // take throws nothing else.
    }
    return Tensor(repeating: .nan, shape: distribution.shape)
  }

  /// An observed site.
  func observe(
    _ name: String, _ value: Tensor, from distribution: some Distribution, within local: Shape,
    treatment: SiteTreatment
  ) {
    let shape = distribution.shape
    if let expanded = expanded(distribution, of: shape, to: local) {
      return observe(name, value, from: expanded, within: local, treatment: treatment)
    }
    let key = treatment.name(SiteName(name))
    let name = key.text
    let context = ExecutionContext.current
    noteFailure(at: name, in: context)
    guard isDeclared(name, distribution, of: shape, within: local) else {
      return noteFailure(at: name, in: context)
    }
    if treatment.hidden.contains(key) { return note(key, in: \.hidden) }
    guard value.isPoisonedOrHas(shape) else {
      remember(distribution.failure ?? misfit(name, value, shape, treatment.plates))
      return noteFailure(at: name, in: context)
    }
    record(key, value, distribution, local, treatment, isObserved: true, isGiven: false, in: context)
  }

  /// Why an observed value does not fit a distribution of some shape.
  private func misfit(_ name: String, _ value: Tensor, _ shape: Shape, _ plates: [Plate]) -> CoixError {
    guard let plate = plates.first(where: { value.shape == Shape([$0.count]).appending(shape) }) else {
      return .eventShape(site: name, value: value.shape, distribution: shape)
    }
    return .site(
      name: name,
      reason:
        "its value has a row for each of the \(plate.count) rows of plate \"\(plate.name)\", but is not mapped "
        + "over it: give the program plate.mapped(data) as its input")
  }

  private func record(
    _ key: SiteName, _ value: Tensor, _ distribution: some Distribution, _ local: Shape,
    _ treatment: SiteTreatment,
    isObserved: Bool, isGiven: Bool, in context: ExecutionContext?
  ) {
    let name = key.text
    check(name, value, distribution, isObserved: isObserved, in: context)
    let logProb = (isObserved ? distribution : treatment.scoring(distribution)).logProb(of: value)
    // The log-probability may have axes that the value lacks: those of a scale
    // (``Distribution/scaled(by:)``), for example.
    if logProb.failure == nil, Shape.broadcast(logProb.shape, local) != local {
      remember(.undeclaredAxes(site: name, shape: logProb.shape))
    }
    if checks == .everything {
      checkForNaN(logProb, "the log-probability of site \"\(name)\"")
      context?.noteSite(name)
    }
    var site = Site(key, value, logProb, eventRank: distribution.eventRank, isObserved: isObserved)
    site.isGiven = isGiven
    append(site)
    noteFailure(at: name, causedBy: distribution.failure, in: context)
  }

  /// Adds the name of the site to an error in a tensor that came to light there.
  ///
  /// - Parameter cause: what went wrong before in the tensors that the site's distribution is made of. It is
  ///   said in place of what follows from it: a poisoned tensor's shape fits nowhere.
  private func noteFailure(
    at name: String, causedBy cause: @autoclosure () -> CoixError? = nil, in context: ExecutionContext?
  ) {
    guard let context, context.hasFailed else { return }
    switch context.failure {
    case .shape?, .misplacedTensor?:
      if let failure = cause() ?? context.failure { context.failure = .atSite(name: name, error: failure) }
    default: break
    }
  }

  /// The distribution expanded to the sizes of the local plates; nil if it has these sizes already or cannot
  /// be expanded to them.
  private func expanded<D: Distribution>(
    _ distribution: D, of shape: Shape, to local: Shape
  ) -> Expanded<D>? {
    guard local.rank > 0, local.stretches(distribution.batchShape(within: shape)) else { return nil }
    let expanded = Expanded(distribution, to: local, isLocal: true)
    return expanded.batchShape == local ? expanded : nil
  }

  private func isDeclared(
    _ name: String, _ distribution: some Distribution, of shape: Shape, within local: Shape
  ) -> Bool {
    let axes = 0...shape.rank
    let batchShape = distribution.batchShape(within: shape)
    guard !axes.contains(distribution.eventRank) || batchShape != local else { return true }
    if let cause = distribution.failure {
      remember(cause)
    } else if !axes.contains(distribution.eventRank) {
      remember(
        .site(
          name: name, reason: "\(distribution.eventRank) event axes are asked of shape \(shape)")
      )
    } else {
      remember(.undeclaredAxes(site: name, shape: batchShape))
    }
    return false
  }

  func remember(_ failure: CoixError) {
    if let context = ExecutionContext.current, !context.hasFailed { context.failure = failure }
  }
}

extension Distribution {
  /// The error that poisoned one of the tensors that the distribution is made of.
  fileprivate var failure: CoixError? { tensors.lazy.compactMap(\.failure).first }
}

extension [String] {
  /// Names of sites for a message.
  var listed: String {
    isEmpty ? "none" : (prefix(20).map { "\"\($0)\"" } + (count > 20 ? ["…"] : [])).joined(separator: ", ")
  }
}

extension Shape {
  /// Whether a distribution with this batch shape has to be expanded to fill local plates of these sizes.
  fileprivate func stretches(_ batch: Shape) -> Bool {
    batch != self && Shape.broadcast(batch, self) == self
  }
}

extension Tensor {
  /// What a statement returns after an error that has been remembered already.
  static var nan: Tensor { Tensor(.nan) }
  /// What stands in place of a tensor that was not kept.
  static let unkept = Tensor(.nan)

  fileprivate func isPoisonedOrHas(_ shape: Shape) -> Bool { self.shape == shape || failure != nil }
}
