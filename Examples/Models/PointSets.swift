import Coix
import Foundation

/// Sets of points in the plane, generated from clusters.
public struct PointSets: Sendable {
  /// The points, `[sets, points, 2]`.
  public let points: Tensor
  /// The number of the cluster that each point was generated from, `[sets, points]`.
  public let clusters: Tensor

  /// Sets drawn from the model ``GMM``.
  ///
  /// - Throws: `CoixError.memory(what:bytes:)` for more points than fit.
  public static func gaussians(_ sets: Int, points: Int, key: PRNGKey) throws -> PointSets {
    try requireMemory(sets, points)
    let keys = key.split(into: 4)
    let count = GMM.clusterCount
    let precisions = Draw(key: keys[0], shape: [sets, count, 2]).gamma(2) / 2
    let means = Draw(key: keys[1], shape: [sets, count, 2]).normal() / sqrt(0.1 * precisions)
    let clusters = Draw(key: keys[2], shape: [sets, points]).integers(in: 0..<Int32(count))
    let rows = clusters.enumerated().map { Int32($0 / points * count) + $1 }
    func ofPoints(_ parameters: Tensor) -> Tensor {
      parameters.reshaped(to: [sets * count, 2]).rows(at: rows).reshaped(to: [sets, points, 2])
    }
    let noise = Draw(key: keys[3], shape: [sets, points, 2]).normal() / sqrt(ofPoints(precisions))
    return PointSets(
      points: try (ofPoints(means) + noise).validated(),
      clusters: try Tensor(clusters.map(Float.init), shape: [sets, points]).validated())
  }

  /// Sets of four unit circles each, around centres drawn from Normal(0, 3), with noise of standard deviation 0.1.
  ///
  /// A circle has a quarter of the points, in two rounds of even steps that begin at random.
  ///
  /// - Throws: `CoixError.argument(_:)` if the number of points is not a multiple of 8; `CoixError.memory(what:bytes:)`
  ///   for more points than fit.
  public static func rings(_ sets: Int, points: Int, key: PRNGKey) throws -> PointSets {
    guard points.isMultiple(of: 8) else {
      throw CoixError.argument("the number of points on rings must be a multiple of 8, is \(points)")
    }
    try requireMemory(sets, points)
    let keys = key.split(into: 3)
    let count = DMM.clusterCount
    let steps = points / (2 * count)
    let step = 2 * Float.pi / Float(steps)
    let centers = 3 * Draw(key: keys[0], shape: [sets, 1, count, 2]).normal()
    let starts = step * Draw(key: keys[1], shape: [sets, 1, 2, count]).uniform()
    let round = Tensor((0..<steps).map { step * Float($0) }).reshaped(to: [steps, 1, 1])
    let angles = (round + starts).reshaped(to: [sets, points / count, count])
    let circles = Tensor.stack([cos(angles), sin(angles)], axis: -1)
    let noise = 0.1 * Draw(key: keys[2], shape: [sets, points / count, count, 2]).normal()
    let clusters = (0..<sets * points).map { Float($0 % count) }
    return PointSets(
      points: try (centers + circles + noise).reshaped(to: [sets, points, 2]).validated(),
      clusters: try Tensor(clusters, shape: [sets, points]).validated())
  }

  /// The share of points whose cluster was found, the mean over sets: of all ways to match the clusters found with
  /// the true ones, a set counts the best.
  ///
  /// - Parameter found: each point's cluster, `[sets, points]`. What is no number of a cluster counts as wrong.
  public func accuracy(of found: Tensor, clusterCount: Int) -> Float {
    let sets = points.shape[0]
    let pairs = zip(clusters.scalars, found.scalars).map { (true: Int($0), found: Int(exactly: $1) ?? -1) }
    let share = pairs.count / sets
    let matched = (0..<sets).reduce(0) { sum, set in
      var counts = [[Int]](repeating: [Int](repeating: 0, count: clusterCount), count: clusterCount)
      for pair in pairs[set * share..<(set + 1) * share] where counts.indices.contains(pair.found) {
        counts[pair.true][pair.found] += 1
      }
      return sum + Self.bestMatch(counts, from: 0, among: Array(0..<clusterCount))
    }
    return Float(matched) / Float(pairs.count)
  }

  /// The greatest sum of counts with one column for each row, from a row on and among the columns left.
  private static func bestMatch(_ counts: [[Int]], from row: Int, among columns: [Int]) -> Int {
    columns.map { column in
      counts[row][column] + bestMatch(counts, from: row + 1, among: columns.filter { $0 != column })
    }.max() ?? 0
  }

  private static func requireMemory(_ sets: Int, _ points: Int) throws {
    // What making them takes for each point.
    let (count, overflow) = sets.multipliedReportingOverflow(by: points)
    let (bytes, overflows) = count.multipliedReportingOverflow(by: 64)
    guard !overflow, !overflows, bytes <= ProcessInfo.processInfo.physicalMemory, count <= Int32.max else {
      throw CoixError.memory(
        what: "making \(sets) sets of \(points) points", bytes: overflow || overflows ? .max : bytes)
    }
  }
}
