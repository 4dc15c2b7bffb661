import CoixKernels
import Foundation

/// What ranks tell each other about themselves when they join.
struct RankIdentity {
  /// The name of the rank's host.
  let host: String
  /// What results depend on besides the program: ranks that differ in it would have other bits.
  let arithmetic: String
  /// The cores that the rank may use, as bits; none where the system doesn't tell.
  let cores: [UInt64]

  /// This process's own.
  static var own: RankIdentity {
    RankIdentity(
      host: hostName,
      arithmetic:
        "Coix \(Library.version) with\(coix_has_fma() == 1 ? "" : "out") fused multiply-add, "
        + "C library \(String(cString: coix_c_library()))",
      cores: ownCores)
  }

  private static var ownCores: [UInt64] {
    var mask = [UInt64](repeating: 0, count: Int(COIX_CORE_WORDS))
    coix_core_mask(&mask)
    return mask
  }

  private static var hostName: String {
    var name = [CChar](repeating: 0, count: textSize)
    guard gethostname(&name, textSize - 1) == 0 else { return "unknown" }
    return String(decoding: name.lazy.map(UInt8.init(bitPattern:)).prefix { $0 != 0 }, as: UTF8.self)
  }

  /// Bytes that an encoded identity takes.
  static let size = 2 * textSize + Int(COIX_CORE_WORDS) * 8
  private static let textSize = 128

  /// `size` bytes.
  var encoded: [UInt8] {
    func padded(_ text: String) -> [UInt8] {
      let bytes = Array(text.utf8.prefix(Self.textSize))
      return bytes + [UInt8](repeating: 0, count: Self.textSize - bytes.count)
    }
    return padded(host) + padded(arithmetic) + cores.withUnsafeBytes { Array($0) }
  }

  init(host: String, arithmetic: String, cores: [UInt64]) {
    (self.host, self.arithmetic, self.cores) = (host, arithmetic, cores)
  }

  init(decoding bytes: some Collection<UInt8>) {
    let bytes = Array(bytes)
    func text(_ range: Range<Int>) -> String {
      String(decoding: bytes[range].prefix { $0 != 0 }, as: UTF8.self)
    }
    host = text(0..<Self.textSize)
    arithmetic = text(Self.textSize..<2 * Self.textSize)
    cores = (0..<Int(COIX_CORE_WORDS)).map { word in
      (0..<8).reduce(0) { $0 | UInt64(bytes[2 * Self.textSize + 8 * word + $1]) << (8 * $1) }
    }
  }

  /// Whether two ranks may run on the same cores.
  func sharesCores(with other: RankIdentity) -> Bool {
    guard host == other.host else { return false }
    let isKnown = cores.contains { $0 != 0 } && other.cores.contains { $0 != 0 }
    return !isKnown || zip(cores, other.cores).contains { $0 & $1 != 0 }
  }

  /// - Throws: ``CoixError/ranks(_:)`` unless all ranks give the same bits.
  static func check(_ ranks: [RankIdentity]) throws(CoixError) {
    for (rank, other) in ranks.enumerated().dropFirst() where other.arithmetic != ranks[0].arithmetic {
      throw CoixError.ranks(
        "rank 0 (\(ranks[0].host)) has \(ranks[0].arithmetic), rank \(rank) (\(other.host)) \(other.arithmetic): "
          + "their results would differ")
    }
  }
}

/// This library.
package enum Library {
  package static let version = "0.1.0"
}
