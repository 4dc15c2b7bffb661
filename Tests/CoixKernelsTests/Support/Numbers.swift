import Foundation

/// Reproducible random numbers for tests (Steele, Lea and Flood's SplitMix64).
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  mutating func floats(_ count: Int, in range: ClosedRange<Float> = -2...2) -> [Float] {
    let width = range.upperBound - range.lowerBound
    return (0..<count).map { _ in range.lowerBound + width * (Float(next() >> 40) / 16_777_216) }
  }
}

/// Counts on both sides of whole vectors.
let oddSizes = [1, 2, 3, 15, 16, 17, 31, 33, 100, 257]

/// What is written beyond the end of every output, and must still be there afterwards.
let sentinel: Float = -12345.678

/// `count` floats that `body` fills; nothing beyond them may be written.
func output(_ count: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) -> [Float] {
  var buffer = [Float](repeating: sentinel, count: count + 32)
  buffer.withUnsafeMutableBufferPointer { pointer in
    if let base = pointer.baseAddress { body(base) }
  }
  precondition(buffer[count...].allSatisfy { $0 == sentinel }, "a kernel wrote beyond its output")
  return Array(buffer[..<count])
}

/// The greatest |got - want| / (1 + |want|); infinite where one is NaN or infinite and the other not the same.
func distance(_ got: [Float], _ want: [Double]) -> Double {
  guard got.count == want.count else { return .infinity }
  return zip(got, want).map { got, want in
    let rounded = Float(want)
    if got.isNaN && rounded.isNaN || got == rounded { return 0 }
    guard got.isFinite && rounded.isFinite else { return .infinity }
    return abs(Double(got) - want) / (1 + abs(want))
  }.max() ?? 0
}

/// The distance in units of the last place of `want` as a float.
func ulps(_ got: Float, _ want: Double) -> Double {
  let rounded = Float(want)
  if got.isNaN && rounded.isNaN || got == rounded { return 0 }
  guard got.isFinite && rounded.isFinite else { return .infinity }
  return abs(Double(got) - want) / Double(rounded.ulp)
}

/// Whether two arrays are the same bit for bit.
func sameBits(_ a: [Float], _ b: [Float]) -> Bool {
  a.count == b.count && memcmp(a, b, a.count * MemoryLayout<Float>.stride) == 0
}
