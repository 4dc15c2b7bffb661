import CoixParallel

/// Where the sites of one evaluation scope go while a chunk runs: the key stream, the sites so far, the values that are given.
final class Recorder {
  var stream: KeyStream
  private(set) var sites: [Site] = []
  /// Values for latent sites, by the name after suffixing: the sites of another trace.
  private var given: [Site]
  /// Whether given values lose their gradient.
  private let detachesGiven: Bool
  /// What has been computed of weights and losses by the programs that ran here.
  var metrics: RunningMetrics?
  /// The machine that may change it.
  let machine: UInt64
  /// Whether parameters and values are checked.
  let checks: Bool
  /// Where the sites' values come from in an enumeration.
  var path: SupportPath?

  /// The sites so far that a condition has given a value to.
  private(set) var conditioned: Set<SiteName> = []
  /// The sites so far that are hidden.
  private(set) var hidden: Set<SiteName> = []

  private var positions: [SiteName: Int] = [:]
  private var givenPositions: [SiteName: Int] = [:]
  /// Up to this many sites, looking at each is quicker than a dictionary.
  private static let scanLimit = 8

  init(key: PRNGKey, machine: UInt64, given: [Site] = [], detachesGiven: Bool = false, checks: Bool) {
    self.machine = machine
    stream = KeyStream(key)
    self.given = given
    self.detachesGiven = detachesGiven
    self.checks = checks
    sites.reserveCapacity(4)
    give(given)
  }

  /// A copy for another machine.
  init(copying other: Recorder, machine: UInt64) {
    self.machine = machine
    stream = other.stream
    sites = other.sites
    given = other.given
    givenPositions = other.givenPositions
    detachesGiven = other.detachesGiven
    metrics = other.metrics
    checks = other.checks
    path = other.path
    (conditioned, hidden) = (other.conditioned, other.hidden)
  }

  /// A recorder without sites that goes on where another one stands: with its keys, and the values that are given to its sites.
  init(continuing other: Recorder) {
    machine = other.machine
    stream = other.stream
    sites = []
    given = other.given
    givenPositions = other.givenPositions
    detachesGiven = other.detachesGiven
    checks = other.checks
    path = other.path
    (conditioned, hidden) = (other.conditioned, other.hidden)
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
    guard sites.count > Self.scanLimit else { return }
    for (position, site) in sites.enumerated() { givenPositions[site.key] = position }
  }

  /// The value given for a latent site of some shape, with its chunk's rows.
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
      given.count > Self.scanLimit
      ? givenPositions[name] : given.firstIndex { $0.key == name && !$0.isObserved }
    guard let position, !given[position].isObserved else { return nil }
    let value = given[position].value
    return detachesGiven ? value.detached : value
  }

  /// Throws if a value is given to a name that no latent site has, once all sites have run; an enumeration looks at that after its
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

  /// Throws for the first name that values are given to but that is none of the latent sites'.
  static func requireSites(of given: [String], among names: [String]) throws {
    let known = Set(names)
    guard let unknown = given.first(where: { !known.contains($0) }) else { return }
    throw CoixError.site(
      name: unknown,
      reason: "latents: gives it a value, but no latent site has this name; there are "
        + names.listed)
  }

  /// Whether there is a site of this name.
  func contains(_ name: SiteName) -> Bool {
    if sites.count <= Self.scanLimit { return sites.contains { $0.key == name } }
    if positions.count < sites.count {
      for position in positions.count..<sites.count { positions[sites[position].key] = position }
    }
    return positions[name] != nil
  }

  /// Adds a site as it is. A second one of its name is an error.
  func append(_ site: Site) {
    guard !site.key.base.isEmpty else { return remember(.site(name: "", reason: "every site needs a name")) }
    guard !contains(site.key) else {
      remember(.duplicateSite(site.name))
      return
    }
    sites.append(site)
  }

  func replaceSites(_ transform: (inout [Site]) throws -> Void) rethrows {
    try transform(&sites)
    positions = [:]
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

  /// A latent site, within local plates of the given sizes.
  func sample(
    _ name: String, from distribution: some Distribution, within local: Shape, handlers: Handlers
  ) -> Tensor {
    if let expanded = expanded(distribution, to: local) {
      return sample(name, from: expanded, within: local, handlers: handlers)
    }
    let key = SiteName(name).suffixed(handlers.suffixes)
    let name = key.text
    let context = ExecutionContext.current
    noteFailure(at: name, in: context)
    guard isDeclared(name, distribution, within: local) else { return .nan }
    let isHidden = handlers.hidden.contains(key)
    if isHidden { note(key, in: \.hidden) }
    if let condition = handlers.conditions[key] {
      note(key, in: \.conditioned)
      let value = fitted(
        condition, to: key, shape: distribution.shape, plateSizes: handlers.plates.map(\.count))
      if !isHidden {
        record(key, value, distribution, local, handlers, isObserved: true, isGiven: false, in: context)
      }
      return value
    }
    if isHidden { return hiddenDraw(key, distribution, handlers) }
    let given = givenValue(key, shape: distribution.shape, plateSizes: handlers.plates.map(\.count))
    var value =
      given ?? enumeratedValue(name, distribution)
      ?? distribution.sample(
        Draw(
          key: stream.next(), shape: distribution.shape, forParameters: distribution.parameters.map(\.tensor))
      )
    if handlers.isDetached && given == nil { value = value.detached }
    record(key, value, distribution, local, handlers, isObserved: false, isGiven: given != nil, in: context)
    return value
  }

  /// A draw that is no site of the trace.
  private func hiddenDraw(_ key: SiteName, _ distribution: some Distribution, _ handlers: Handlers) -> Tensor
  {
    if path != nil {
      remember(
        .site(
          name: key.text,
          reason: "enumerate: the site is hidden (block), so that its values are not gone through"))
    }
    let value = distribution.sample(
      Draw(
        key: stream.next(), shape: distribution.shape, forParameters: distribution.parameters.map(\.tensor)))
    if checks { check(key.text, value, distribution, isObserved: false) }
    noteFailure(at: key.text, in: ExecutionContext.current)
    return handlers.isDetached ? value.detached : value
  }

  /// Notes that a handler has met a site.
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
    handlers: Handlers
  ) {
    if let expanded = expanded(distribution, to: local) {
      return observe(name, value, from: expanded, within: local, handlers: handlers)
    }
    let key = SiteName(name).suffixed(handlers.suffixes)
    let name = key.text
    let context = ExecutionContext.current
    noteFailure(at: name, in: context)
    guard isDeclared(name, distribution, within: local) else { return }
    if handlers.hidden.contains(key) { return note(key, in: \.hidden) }
    guard value.isPoisonedOrHas(distribution.shape) else {
      if let plate = handlers.plates.first(where: {
        value.shape == Shape([$0.count]).appending(distribution.shape)
      }) {
        return remember(
          .site(
            name: name,
            reason:
              "its value has a row for each of the \(plate.count) rows of plate \"\(plate.name)\", but is not mapped "
              + "over it: give the program plate.mapped(data) as its input"))
      }
      remember(.eventShape(site: name, value: value.shape, distribution: distribution.shape))
      return
    }
    record(key, value, distribution, local, handlers, isObserved: true, isGiven: false, in: context)
  }

  private func record(
    _ key: SiteName, _ value: Tensor, _ distribution: some Distribution, _ local: Shape, _ handlers: Handlers,
    isObserved: Bool, isGiven: Bool, in context: ExecutionContext?
  ) {
    let name = key.text
    if checks { check(name, value, distribution, isObserved: isObserved) }
    let sticks = handlers.sticksTheLanding && !isObserved
    let logProb =
      sticks
      ? distribution.mapParameters(\.detached).logProb(of: value) : distribution.logProb(of: value)
    // A scale or a log-density of its own may have axes that the value lacks.
    if logProb.failure == nil, Shape.broadcast(logProb.shape, local) != local {
      remember(.undeclaredAxes(site: name, shape: logProb.shape))
    }
    if checks { checkForNaN(logProb, "the log-probability of site \"\(name)\"") }
    var site = Site(key, value, logProb, eventRank: distribution.eventRank, isObserved: isObserved)
    site.isGiven = isGiven
    append(site)
    noteFailure(at: name, in: context)
  }

  /// Names the site at which a tensor's error came to light.
  private func noteFailure(at name: String, in context: ExecutionContext?) {
    guard let context, context.hasFailed else { return }
    switch context.failure {
    case .shape?, .misplacedTensor?:
      if let failure = context.failure { context.failure = .atSite(name: name, error: failure) }
    default: break
    }
  }

  /// The distribution over all places of the local plates; nil if it is that already, or cannot be made so.
  private func expanded<D: Distribution>(_ distribution: D, to local: Shape) -> Expanded<D>? {
    guard local.stretches(distribution.batchShape) else { return nil }
    let expanded = Expanded(distribution, to: local, isLocal: true)
    return expanded.batchShape == local ? expanded : nil
  }

  private func isDeclared(_ name: String, _ distribution: some Distribution, within local: Shape) -> Bool {
    let axes = 0...distribution.shape.rank
    guard !axes.contains(distribution.eventRank) || distribution.batchShape != local else { return true }
    if !axes.contains(distribution.eventRank) {
      remember(
        .site(
          name: name, reason: "\(distribution.eventRank) event axes are asked of shape \(distribution.shape)")
      )
    } else {
      remember(.undeclaredAxes(site: name, shape: distribution.batchShape))
    }
    return false
  }

  func remember(_ failure: CoixError) {
    if let context = ExecutionContext.current, !context.hasFailed { context.failure = failure }
  }

  // MARK: Checks

  private func check(_ name: String, _ value: Tensor, _ distribution: some Distribution, isObserved: Bool) {
    for parameter in distribution.parameters {
      if let (row, number) = parameter.tensor.firstRow(where: { !parameter.requirement.holds(for: $0) }) {
        remember(
          .parameter(
            site: name, parameter: parameter.name, requirement: parameter.requirement.rawValue,
            value: number, at: RowLocation(row: row)))
      }
    }
    checkForNaN(value, "the \(isObserved ? "observed " : "")value of site \"\(name)\"")
  }

  private func checkForNaN(_ tensor: Tensor, _ source: @autoclosure () -> String) {
    guard let (row, _) = tensor.firstRow(where: \.isNaN) else { return }
    remember(.notANumber(source: source(), at: RowLocation(row: row)))
  }
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
    rank > 0 && batch != self && Shape.broadcast(batch, self) == self
  }
}

extension Tensor {
  /// What a statement hands back after an error that is already remembered.
  static var nan: Tensor { Tensor(.nan) }
  /// What stands for an output that was not asked for.
  static let unkept = Tensor(.nan)

  fileprivate func isPoisonedOrHas(_ shape: Shape) -> Bool { self.shape == shape || failure != nil }
}

/// What combinators around a program do to its sites.
struct Handlers: Sendable {
  /// The plates around the program, outermost first.
  var plates: [Plate] = []
  /// How many `_PREV_` its sites get.
  var suffixes = 0
  /// Whether draws lose their gradient.
  var isDetached = false
  /// Whether log-probabilities take no gradient to the distribution's parameters.
  var sticksTheLanding = false
  /// Values that make latent sites observed ones, by the names that the sites have here.
  var conditions: [SiteName: Tensor] = [:]
  /// The sites that are left out of the trace, by the names that they have here.
  var hidden: Set<SiteName> = []
}
