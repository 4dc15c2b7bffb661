/// The name of a site: what the program calls it, and how often a combinator has marked it as auxiliary.
///
/// A chain of compositions marks a site once for each of its steps. The marks are kept as a count, so a name
/// costs the same however long the chain is.
package struct SiteName: Hashable, Sendable {
  /// What a combinator appends to the name of an auxiliary program's site.
  package static let suffix = "_PREV_"

  /// The name without suffixes at its end.
  package let base: String
  /// How many suffixes it has.
  package var suffixCount: Int

  /// A name as it is written.
  package init(_ text: String) {
    var base = text[...]
    var suffixCount = 0
    while base.utf8.last == UInt8(ascii: "_"), base.hasSuffix(Self.suffix) {
      base = base.dropLast(Self.suffix.count)
      suffixCount += 1
    }
    self.base = suffixCount == 0 ? text : String(base)
    self.suffixCount = suffixCount
  }

  /// The name as it is written.
  package var text: String {
    suffixCount == 0 ? base : base + String(repeating: Self.suffix, count: suffixCount)
  }

  /// Whether a combinator has marked the site as auxiliary.
  package var isSuffixed: Bool { suffixCount > 0 }

  /// The name with further suffixes.
  package func suffixed(_ count: Int) -> SiteName {
    var name = self
    name.suffixCount += count
    return name
  }
}

extension SiteName: Comparable {
  /// The order of the names as they are written.
  package static func < (a: SiteName, b: SiteName) -> Bool {
    if a.base == b.base { return a.suffixCount < b.suffixCount }
    // Suffixes matter only if one base is a prefix of the other.
    return a.base.hasPrefix(b.base) || b.base.hasPrefix(a.base) ? a.text < b.text : a.base < b.base
  }
}
