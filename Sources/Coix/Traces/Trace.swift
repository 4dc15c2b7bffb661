import CoixParallel

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
