import Coix

/// A site as a case describes it.
struct GoldenSite: Equatable, Sendable {
  let name: String
  let eventRank: Int
  let isObserved: Bool
  let isSuffixed: Bool

  /// The sites that a case lists, in their order.
  static func list(_ golden: GoldenCase) throws -> [GoldenSite] {
    guard let sites = golden.fields["sites"]?.array else { throw GoldenError("\(golden.name): no sites") }
    return try sites.map { site in
      guard let name = site["name"]?.string, let rank = site["event_dim"]?.integer,
        let isObserved = site["is_observed"]?.bool,
        let isSuffixed = site["suffix"]?.bool
      else { throw GoldenError("\(golden.name): a site lacks its name or a flag") }
      return GoldenSite(name: name, eventRank: rank, isObserved: isObserved, isSuffixed: isSuffixed)
    }
  }

  init(name: String, eventRank: Int, isObserved: Bool, isSuffixed: Bool) {
    self.name = name
    self.eventRank = eventRank
    self.isObserved = isObserved
    self.isSuffixed = isSuffixed
  }

  init(_ site: Site) {
    self.init(
      name: site.name, eventRank: site.eventRank, isObserved: site.isObserved, isSuffixed: site.isSuffixed)
  }
}
