import Coix

/// A 64-bit hash of numbers' bits: equal digests mean equal results, to the last bit.
///
/// FNV-1a (Fowler, Noll and Vo, "The FNV non-cryptographic hash algorithm", 2012) over the numbers' bytes,
/// least significant first.
public struct Digest: CustomStringConvertible, Sendable {
  private var state: UInt64 = 0xCBF2_9CE4_8422_2325

  /// The digest of nothing.
  public init() {}

  /// Adds a number.
  public mutating func add(_ number: Float) {
    var bits = number.bitPattern
    for _ in 0..<4 {
      state = (state ^ UInt64(bits & 0xFF)) &* 0x100_0000_01B3
      bits >>= 8
    }
  }

  /// Adds the numbers of every tensor.
  public mutating func add(_ tree: some TensorTree) {
    for (_, tensor) in tree.namedTensors {
      tensor.withScalars { for scalar in $0 { add(scalar) } }
    }
  }

  /// Sixteen hexadecimal digits.
  public var description: String {
    let digits = String(state, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
