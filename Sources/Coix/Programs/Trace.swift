import CoixParallel

/// One random choice of a program's run.
public struct Site: Sendable {
  /// The site's name, with a `_PREV_` for each composition that made it auxiliary.
  public internal(set) var name: String
  /// The value; the particle axis first, then instances, then the event.
  public internal(set) var value: Tensor
  /// The log-probability of the value.
  public internal(set) var logProb: Tensor
  /// The number of event axes.
  public let eventRank: Int
  /// Whether the value was observed rather than drawn.
  public let isObserved: Bool
  /// Whether the site ran in a program that a combinator made auxiliary.
  public internal(set) var isSuffixed: Bool
  /// Whether a combinator or the caller gave the value.
  var isGiven = false
  /// Whether the weight of a program that ran here has the site in it already.
  var isWeighed = false

  /// A site by hand, to use an objective outside of a program.
  public init(
    name: String, value: Tensor, logProb: Tensor, eventRank: Int = 0, isObserved: Bool = false,
    isSuffixed: Bool = false
  ) {
    self.name = name
    self.value = value
    self.logProb = logProb
    self.eventRank = eventRank
    self.isObserved = isObserved
    self.isSuffixed = isSuffixed
  }
}

/// The sites of a program's run, in the order in which they ran.
public struct Trace: Sendable {
  /// The sites.
  public internal(set) var sites: [Site]
  /// The plates around the program, outermost first: the first axes of values and log-probabilities.
  public internal(set) var plates: [Plate]

  /// What a combinator appends to the name of an auxiliary program's site.
  public static let suffix = "_PREV_"

  /// A trace of given sites.
  public init(_ sites: [Site] = [], plates: [Plate] = []) {
    self.sites = sites
    self.plates = plates
  }

  /// The site of the given name.
  public subscript(name: String) -> Site? { sites.first { $0.name == name } }

  /// The names of the sites.
  public var names: [String] { sites.map(\.name) }

  /// Whether a site of a name is there: looked for one by one in short traces, by hashing in long ones.
  var nameLookup: (String) -> Bool {
    if sites.count <= 16 { return { name in sites.contains { $0.name == name } } }
    let names = Set(names)
    return { names.contains($0) }
  }

  /// The sites without those of auxiliary programs.
  var marginal: Trace { Trace(sites.filter { !$0.name.hasSuffix(Trace.suffix) }) }

  /// Takes off, for each variable, the suffixes that all of its versions have, and flags what carried any.
  mutating func desuffix() {
    guard sites.contains(where: { $0.name.hasSuffix(Trace.suffix) }) else { return }
    func parts(_ name: String) -> (raw: Substring, suffixes: Int) {
      var raw = name[...]
      var suffixes = 0
      while raw.hasSuffix(Trace.suffix) {
        raw = raw.dropLast(Trace.suffix.count)
        suffixes += 1
      }
      return (raw, suffixes)
    }
    var least: [Substring: Int] = [:]
    for site in sites {
      let (raw, suffixes) = parts(site.name)
      least[raw] = min(least[raw] ?? suffixes, suffixes)
    }
    for index in sites.indices {
      let (raw, suffixes) = parts(sites[index].name)
      if suffixes > 0 { sites[index].isSuffixed = true }
      let removed = least[raw] ?? 0
      sites[index].name = String(sites[index].name.dropLast(removed * Trace.suffix.count))
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
