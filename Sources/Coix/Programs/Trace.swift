import CoixParallel

/// One random choice of a program's run.
public struct Site: Sendable {
  /// The site's name, with a `_PREV_` for each composition that made it auxiliary.
  public var name: String { key.text }
  var key: SiteName
  /// The value; the particle axis first, then instances, then the event.
  public internal(set) var value: Tensor
  /// The log-probability of the value.
  public internal(set) var logProb: Tensor
  /// The number of event axes.
  public let eventRank: Int
  /// Whether the value was observed rather than drawn.
  public let isObserved: Bool
  /// Whether the site ran in a program that a combinator made auxiliary.
  public internal(set) var isSuffixed = false
  /// Whether a combinator or the caller gave the value.
  var isGiven = false
  /// Whether the weight of a program that ran here has the site in it already.
  var isWeighed = false

  /// A site by hand, to use an objective outside of a program.
  public init(
    name: String, value: Tensor, logProb: Tensor, eventRank: Int = 0, isObserved: Bool = false,
    isSuffixed: Bool = false
  ) {
    self.init(SiteName(name), value, logProb, eventRank: eventRank, isObserved: isObserved)
    self.isSuffixed = isSuffixed
  }

  init(_ key: SiteName, _ value: Tensor, _ logProb: Tensor, eventRank: Int = 0, isObserved: Bool = false) {
    self.key = key
    self.value = value
    self.logProb = logProb
    self.eventRank = eventRank
    self.isObserved = isObserved
  }
}

/// The sites of a program's run, in the order in which they ran.
public struct Trace: Sendable {
  /// The sites.
  public internal(set) var sites: [Site]
  /// The plates around the program, outermost first: the first axes of values and log-probabilities.
  public internal(set) var plates: [Plate]

  /// What a combinator appends to the name of an auxiliary program's site.
  public static let suffix = SiteName.suffix

  /// A trace of given sites.
  public init(_ sites: [Site] = [], plates: [Plate] = []) {
    self.sites = sites
    self.plates = plates
  }

  /// The site of the given name.
  public subscript(name: String) -> Site? {
    let key = SiteName(name)
    return sites.first { $0.key == key }
  }

  /// The names of the sites.
  public var names: [String] { sites.map(\.name) }

  /// The names of the sites, to be asked for again and again.
  var nameSet: NameSet { NameSet(self) }

  /// Whether a site of a name is there: looked for one by one in short traces, by hashing in long ones.
  struct NameSet {
    private let sites: [Site]
    private let names: Set<SiteName>

    fileprivate init(_ trace: Trace) {
      sites = trace.sites.count <= 16 ? trace.sites : []
      names = sites.isEmpty ? Set(trace.sites.map(\.key)) : []
    }

    func contains(_ name: SiteName) -> Bool {
      sites.contains { $0.key == name } || (!names.isEmpty && names.contains(name))
    }
  }

  /// The sites without those of auxiliary programs.
  var marginal: Trace { Trace(sites.filter { !$0.key.isSuffixed }) }

  /// Takes off, for each variable, the suffixes that all of its versions have, and flags what carried any.
  mutating func desuffix() {
    guard sites.contains(where: \.key.isSuffixed) else { return }
    var least: [String: Int] = [:]
    for site in sites { least[site.key.base] = min(least[site.key.base] ?? .max, site.key.suffixCount) }
    for index in sites.indices where sites[index].key.isSuffixed {
      sites[index].isSuffixed = true
      sites[index].key.suffixCount -= least[sites[index].key.base] ?? 0
    }
  }
}

extension Trace: CustomStringConvertible {
  public var description: String {
    sites.map { site in
      "\(site.name): value \(site.value.shape), log-prob \(site.logProb.shape)\(site.isObserved ? ", observed" : "")"
    }.joined(separator: "\n")
  }
}
