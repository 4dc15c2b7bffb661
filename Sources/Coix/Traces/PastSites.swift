import CoixParallel
import Synchronization

/// The sites of a trace that a resampling has gone over, unread until somebody asks for them.
///
/// A resampling gathers all sites of a program, and what comes after it renames and sorts them. A filter of T
/// steps would do that to its first site T times. Here each resampling instead adds a block with the sites
/// that are new, and notes what happens to the earlier ones: T steps take T blocks, and the sites of all of
/// them are gathered, named and sorted once.
///
/// All of them count in the weight of the program that was resampled.
struct PastSites: Sendable {
  private let last: Block
  /// How many suffixes the names have gained since the last block was made.
  private var gained = 0
  /// How many they have lost since then, by base name.
  private var lost: [String: Int] = [:]

  /// The sites so far, which `gather` is to gather (nil: they stay as they are), then those that a resampling
  /// has gathered already.
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

  /// The same with suffixes appended to all names.
  func suffixed(_ count: Int) -> PastSites {
    var suffixed = self
    suffixed.gained += count
    return suffixed
  }

  /// Takes suffixes off the names, by base name.
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

  /// The sites that one resampling found, and those before them.
  private final class Block: Sendable {
    let sites: [Site]
    /// What the earlier sites are yet to be gathered by.
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
      // Chains of blocks are as long as programs have steps: they are let go of one after another, and not
      // each within the one after it.
      var next = takeEarlier()
      while var block = next {
        next = nil
        guard isKnownUniquelyReferenced(&block) else { return }
        next = block.takeEarlier()
      }
    }

    /// The block before one that nobody will read; it lets go of that block.
    private func takeEarlier() -> Block? { earlier.withLock { $0.take()?.last } }

    /// The sites of this block and of all before it, with the names that they had when it was made.
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
      // What the sites of the block that is looked at are yet to be gathered by.
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
