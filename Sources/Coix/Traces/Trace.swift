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

  /// The names of the sites, for checking many times whether a name is among them.
  var nameSet: NameSet { NameSet(self) }

  /// Tells whether a trace has a site of some name: by comparing all names in a short trace, by hashing in a
  /// long one.
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

  /// The trace without the sites of auxiliary programs, whose names end in `_PREV_`.
  var marginal: Trace { Trace(sites.filter { !$0.key.isSuffixed }) }

  /// For each variable, removes the suffixes that all of its versions have in common, and flags the sites
  /// that had suffixes.
  mutating func desuffix() { takeOff(leastSuffixCounts()) }

  /// For each variable, the least number of suffixes that one of its versions has, in this trace or in
  /// `others`.
  func leastSuffixCounts(_ others: [String: Int] = [:]) -> [String: Int] {
    guard sites.contains(where: \.key.isSuffixed) || !others.isEmpty else { return [:] }
    var least = others
    for site in sites { least[site.key.base] = min(least[site.key.base] ?? .max, site.key.suffixCount) }
    return least
  }

  /// Removes the given number of suffixes from each variable's versions, and flags the sites that had
  /// suffixes.
  mutating func takeOff(_ counts: [String: Int]) {
    guard !counts.isEmpty else { return }
    for index in sites.indices where sites[index].key.isSuffixed {
      sites[index].isSuffixed = true
      sites[index].key.suffixCount -= counts[sites[index].key.base] ?? 0
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
