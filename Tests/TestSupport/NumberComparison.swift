import Foundation

/// The greatest |got - want| / (1 + |want|); infinite where one is NaN or infinite and the other not the
/// same.
package func distance(_ got: [Float], _ want: [Double]) -> Double {
  guard got.count == want.count else { return .infinity }
  return zip(got, want).map { got, want in
    let rounded = Float(want)
    if got.isNaN && rounded.isNaN || got == rounded { return 0 }
    guard got.isFinite && rounded.isFinite else { return .infinity }
    return abs(Double(got) - want) / (1 + abs(want))
  }.max() ?? 0
}

/// The distance in units of the last place of `want` as a float.
package func ulps(_ got: Float, _ want: Double) -> Double {
  let rounded = Float(want)
  if got.isNaN && rounded.isNaN || got == rounded { return 0 }
  guard got.isFinite && rounded.isFinite else { return .infinity }
  return abs(Double(got) - want) / Double(rounded.ulp)
}

/// Whether two arrays are the same bit for bit.
package func sameBits(_ a: [Float], _ b: [Float]) -> Bool {
  a.count == b.count && memcmp(a, b, a.count * MemoryLayout<Float>.stride) == 0
}
