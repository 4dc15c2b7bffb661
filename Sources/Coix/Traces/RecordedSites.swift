import CoixParallel

/// The sites of a program that runs: those of the past, which resamplings have gathered, then the others.
struct RecordedSites {
  /// The sites that resamplings have gathered. They come before the others.
  private(set) var past: PastSites?
  /// The other sites, in the order in which they ran.
  private(set) var recent: [Site] = []
  /// Where there are past sites: how many of the others are to be sorted together with them, and how many
  /// suffixes all of these have gained since that was asked for.
  private var unsorted = (recent: 0, gained: 0)
  private var positions: [SiteName: Int] = [:]

  /// Up to this number of sites, comparing all names is quicker than looking in a dictionary.
  static let scanLimit = 8

  init() { recent.reserveCapacity(4) }

  /// All sites, in the order in which they ran. Those of the past are read.
  var all: [Site] {
    mutating get {
      if let past {
        func before(_ a: Site, _ b: Site) -> Bool {
          a.key.suffixed(-unsorted.gained) < b.key.suffixed(-unsorted.gained)
        }
        let sorted = (past.read() + recent.prefix(unsorted.recent)).sorted(by: before)
        recent.replaceSubrange(..<unsorted.recent, with: sorted)
        (self.past, positions) = (nil, [:])
      }
      return recent
    }
  }

  /// How many of the sites are latent.
  var latentCount: Int { (past?.latentCount ?? 0) + recent.count { !$0.isObserved } }

  /// Whether there is a site of this name.
  mutating func contains(_ name: SiteName) -> Bool {
    if let past, past.contains(name) { return true }
    if recent.count <= Self.scanLimit { return recent.contains { $0.key == name } }
    if positions.count < recent.count {
      for position in positions.count..<recent.count { positions[recent[position].key] = position }
    }
    return positions[name] != nil
  }

  /// Adds a site.
  mutating func append(_ site: Site) { recent.append(site) }

  /// At the end of the program: takes off the suffixes that all versions of a variable have in common, and
  /// sorts the sites by their names if asked for.
  mutating func finish(sorting: Bool) {
    var trace = Trace(sorting ? recent : all)
    let least = trace.leastSuffixCounts(past?.leastSuffixCounts ?? [:])
    trace.takeOff(least)
    past?.takeOff(least)
    (recent, positions) = (trace.sites, [:])
    guard sorting else { return }
    if past == nil { recent.sort { $0.key < $1.key } } else { unsorted = (recent.count, 0) }
  }

  /// At the barrier of a resampling, after ``finish(sorting:)``: the sites, which have been gathered, become
  /// past ones. Those that were so before have yet to be gathered by `gather`.
  mutating func moveToPast(gatheringEarlier gather: RowGather?) {
    for index in recent.indices {
      (recent[index].isSuffixed, recent[index].isGiven, recent[index].isWeighed) = (false, false, true)
    }
    past = PastSites(past, gatheredBy: gather, then: recent)
    (recent, positions, unsorted) = ([], [:], (0, 0))
  }

  /// Takes over the past sites of another program, unread, whose names gain suffixes here.
  ///
  /// - Returns: how many of them are latent; nil, and nothing is taken, if that program has no past sites, or
  ///   if there are sites here already.
  mutating func takePast(of program: RecordedSites, suffixes: Int) -> Int? {
    guard let taken = program.past, past == nil, recent.isEmpty else { return nil }
    past = taken.suffixed(suffixes)
    unsorted = (program.unsorted.recent, program.unsorted.gained + suffixes)
    return taken.latentCount
  }

  /// Changes all sites.
  mutating func replace(_ transform: (inout [Site]) throws -> Void) rethrows {
    var changed = all
    try transform(&changed)
    (recent, positions) = (changed, [:])
  }

  /// Calls `body` with the sites that are not past, which it may change.
  mutating func forEachRecent(_ body: (inout Site) throws -> Void) rethrows {
    for index in recent.indices { try body(&recent[index]) }
    positions = [:]
  }
}
