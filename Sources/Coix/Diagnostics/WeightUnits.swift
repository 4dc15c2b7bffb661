import CoixParallel
import Foundation

/// A sum of weights as a whole number of units, each 2⁻⁶² of the greatest weight: no rounding, and so no
/// dependence on the order in which the weights are added.
struct WeightUnits {
  private var high: UInt64 = 0
  private var low: UInt64 = 0

  mutating func add(_ units: UInt64) {
    let (sum, overflow) = low.addingReportingOverflow(units)
    low = sum
    if overflow { high += 1 }
  }

  mutating func add(_ other: WeightUnits) {
    add(other.low)
    high += other.high
  }

  /// The number of units, rounded. It is never less for a greater sum.
  var number: Double { Double(high) * 0x1p64 + Double(low) }

  /// A weight's units; nil for no weight at all.
  static func units(_ logWeight: Double, greatest: Double) -> UInt64? {
    let weight = exp(logWeight - greatest)
    return weight > 0 ? UInt64((weight * 0x1p62).rounded()) : nil
  }

  /// The units of an instance's weights.
  ///
  /// - Throws: `CoixError.memory(what:bytes:)`.
  static func units(of weights: LogWeights, _ instance: Int) throws -> [UInt64?] {
    let logWeights = try weights.logWeights(of: instance)
    let greatest = logWeights.max() ?? 0
    return logWeights.map { units($0, greatest: greatest) }
  }
}
