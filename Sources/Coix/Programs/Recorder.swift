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
    guard let value = givenValue(name) else { return nil }
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
    let listed = names.prefix(20).map { "\"\($0)\"" } + (names.count > 20 ? ["…"] : [])
    throw CoixError.site(
      name: unknown,
      reason: "latents: gives it a value, but no latent site has this name; there are "
        + (listed.isEmpty ? "none" : listed.joined(separator: ", ")))
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
    guard isDeclared(name, distribution, within: local) else {
      noteFailure(at: name, in: context)
      return .nan
    }
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
    guard isDeclared(name, distribution, within: local) else { return noteFailure(at: name, in: context) }
    guard value.isPoisonedOrHas(distribution.shape) else {
      remember(
        distribution.failure
          ?? .eventShape(site: name, value: value.shape, distribution: distribution.shape))
      return noteFailure(at: name, in: context)
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
    noteFailure(at: name, causedBy: distribution.failure, in: context)
  }

  /// Names the site at which a tensor's error came to light.
  ///
  /// - Parameter cause: what went wrong before in the tensors that the site's distribution is made of. It is said in place of what
  ///   follows from it: a poisoned tensor's shape fits nowhere.
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

  /// The distribution over all places of the local plates; nil if it is that already, or cannot be made so.
  private func expanded<D: Distribution>(_ distribution: D, to local: Shape) -> Expanded<D>? {
    guard local.stretches(distribution.batchShape) else { return nil }
    let expanded = Expanded(distribution, to: local, isLocal: true)
    return expanded.batchShape == local ? expanded : nil
  }

  private func isDeclared(_ name: String, _ distribution: some Distribution, within local: Shape) -> Bool {
    let axes = 0...distribution.shape.rank
    guard !axes.contains(distribution.eventRank) || distribution.batchShape != local else { return true }
    if let cause = distribution.failure {
      remember(cause)
    } else if !axes.contains(distribution.eventRank) {
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

extension Distribution {
  /// The error that poisoned one of the tensors that the distribution is made of.
  fileprivate var failure: CoixError? { tensors.lazy.compactMap(\.failure).first }
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
}
