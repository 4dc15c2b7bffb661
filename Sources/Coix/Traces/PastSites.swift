import CoixParallel
import Synchronization

/// The sites of a trace that went through a resampling. They are gathered and named when they are first read.
///
/// A resampling gathers all sites of a program, and later steps rename and sort them. In a filter of T steps,
/// that would happen T times to the first site. Instead, each resampling adds a block with the sites that are
/// new, and records how the earlier sites are to be gathered and renamed. T steps take T blocks, and the
/// sites of all of them are gathered, named and sorted once.
///
/// The log-weight of the program that was resampled contains all of these sites.
struct PastSites: Sendable {
  private let last: Block
  /// How many suffixes the names have gained since the last block was made.
  private var gained = 0
  /// How many suffixes the names have lost since then, by base name.
  private var lost: [String: Int] = [:]

  /// The earlier sites, which are yet to be gathered by `gather` (nil: they stay as they are), followed by
  /// `sites`, which a resampling has gathered already.
  init(_ earlier: PastSites?, gatheredBy gather: RowGather?, then sites: [Site]) {
    last = Block(sites: sites, earlier: earlier, gather: gather)
  }

  /// How many of the sites are latent.
  var latentCount: Int { last.latentCount }

  /// Whether there is a site of this name.
  func contains(_ name: SiteName) -> Bool {
    guard let counts = last.suffixCounts[name.base] else { return false }
    let count = name.suffixCount - gained + (lost[name.base] ?? 0)
    guard counts.contains(count) else { return false }
    return read().contains { $0.key == name }
  }

  /// For each base name, the least number of suffixes that a site of it has.
  var leastSuffixCounts: [String: Int] {
    Dictionary(
      uniqueKeysWithValues: last.suffixCounts.map { ($0, $1.lowerBound + gained - (lost[$0] ?? 0)) })
  }

  /// The same sites with suffixes appended to all names.
  func suffixed(_ count: Int) -> PastSites {
    var suffixed = self
    suffixed.gained += count
    return suffixed
  }

  /// Removes suffixes from the names: the given number for each base name.
  mutating func takeOff(_ counts: [String: Int]) {
    for (base, count) in counts where count > 0 { lost[base, default: 0] += count }
  }

  /// The sites, in no particular order.
  func read() -> [Site] {
    last.read().map { site in
      var site = site
      site.key.suffixCount += gained - (lost[site.key.base] ?? 0)
      return site
    }
  }

  /// The sites that one resampling added, and the block before them.
  private final class Block: Sendable {
    let sites: [Site]
    /// The index that the earlier sites are yet to be gathered by.
    let index: RowIndex?
    let plate: String
    let latentCount: Int
    /// For each base name, the least and the greatest number of suffixes, those of earlier sites included.
    let suffixCounts: [String: ClosedRange<Int>]
    private let earlier: Mutex<PastSites?>
    private let known = Mutex<[Site]?>(nil)

    init(sites: [Site], earlier: PastSites?, gather: RowGather?) {
      self.sites = sites
      index = gather?.index
      plate = gather?.plate ?? ""
      self.earlier = Mutex(earlier)
      latentCount = (earlier?.latentCount ?? 0) + sites.count { !$0.isObserved }
      var counts: [String: ClosedRange<Int>] = [:]
      if let earlier {
        for (base, range) in earlier.last.suffixCounts {
          let shift = earlier.gained - (earlier.lost[base] ?? 0)
          counts[base] = range.lowerBound + shift...range.upperBound + shift
        }
      }
      for site in sites {
        let count = site.key.suffixCount
        let range = counts[site.key.base] ?? count...count
        counts[site.key.base] = min(range.lowerBound, count)...max(range.upperBound, count)
      }
      suffixCounts = counts
    }

    deinit {
      // A chain of blocks may be as long as a program has steps. A loop releases the blocks one after
      // another: nested releases could overflow the stack.
      var next = takeEarlier()
      while var block = next {
        next = nil
        guard isKnownUniquelyReferenced(&block) else { return }
        next = block.takeEarlier()
      }
    }

    /// Takes the earlier block out of a block that nobody will read any more.
    private func takeEarlier() -> Block? { earlier.withLock { $0.take()?.last } }

    /// The sites of this block and of all before it, with the names that they had when this block was made.
    func read() -> [Site] {
      known.withLock { known in
        if let known { return known }
        let sites = gathered()
        known = sites
        return sites
      }
    }

    private func gathered() -> [Site] {
      var result: [Site] = []
      var (gained, lost): (Int, [String: Int]) = (0, [:])
      // How the sites of the current block are yet to be gathered.
      var gather: RowGather?
      var block = self
      while true {
        for var site in block.sites {
          site.key.suffixCount += gained - (lost[site.key.base] ?? 0)
          if let gather {
            site.value = gather(site.value)
            site.logProb = gather(site.logProb)
          }
          result.append(site)
        }
        guard let earlier = block.earlier.withLock({ $0 }) else { return result }
        if let index = block.index {
          gather = RowGather(gather?.product(after: index) ?? index, plate: block.plate)
        }
        gained += earlier.gained
        lost.merge(earlier.lost, uniquingKeysWith: +)
        block = earlier.last
      }
    }
  }
}
