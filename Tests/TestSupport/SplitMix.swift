/// Reproducible random numbers for tests: SplitMix64.
///
/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
package struct SplitMix: RandomNumberGenerator {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// Numbers in a range, evenly distributed.
  package mutating func floats(_ count: Int, in range: ClosedRange<Float> = -2...2) -> [Float] {
    let width = range.upperBound - range.lowerBound
    return numbers(count) { range.lowerBound + width * (Float($0 >> 40) / 16_777_216) }
  }

  /// Numbers in a range, on a grid of 2^-10, so that adding a power of two to them is exact.
  package mutating func gridFloats(_ count: Int, in range: ClosedRange<Float>) -> [Float] {
    let steps = (range.upperBound - range.lowerBound) * 1024
    return numbers(count) { range.lowerBound + (steps * (Float($0 >> 40) / 16_777_216)).rounded() / 1024 }
  }

  /// A number of each draw. A plain loop, since debug builds make millions of them.
  private mutating func numbers(_ count: Int, _ number: (UInt64) -> Float) -> [Float] {
    [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
      var index = 0
      while index < count {
        buffer[index] = number(next())
        index += 1
      }
      initialized = count
    }
  }
}
