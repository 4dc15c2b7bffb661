import Coix
import Foundation

/// Points in the plane to train on and to test with.
public struct PointData: Sendable, CustomStringConvertible {
  /// The points to train on, `[n, 2]`.
  public let train: Tensor
  /// The points to test with, `[n, 2]`.
  public let test: Tensor

  /// The number of the points to train on, and a hash of them.
  public var description: String {
    var digest = Digest()
    digest.add(train)
    return "\(train.shape[0]) points with hash \(digest)"
  }

  /// Two moons each, as scikit-learn's `make_moons` makes them, from draws of their own.
  ///
  /// - Throws: ``CoixError/argument(_:)``; ``CoixError/memory(what:bytes:)`` for more points than fit.
  public static func twoMoons(
    train: Int = 10_000, test: Int = 3_000, noise: Float = 0.1, seed: Int = 0
  ) throws -> PointData {
    guard noise >= 0, noise.isFinite else {
      throw CoixError.argument("the noise must be at least 0, is \(noise)")
    }
    try check(train, "training points")
    try check(test, "test points")
    let (trainKey, testKey) = dataKey(seed).split()
    return PointData(
      train: try moons(train, noise: noise, key: trainKey), test: try moons(test, noise: noise, key: testKey))
  }

  /// The points of a file, `[n, 2]`, shuffled by the seed and divided.
  ///
  /// Without a number of test points a fifth are, but at least one; without one of training points, all
  /// others.
  ///
  /// - Throws: ``CoixError/file(path:reason:)`` if the file cannot be read, is not `[n, 2]`, has a number
  ///   that is not finite or too few points; ``CoixError/argument(_:)``.
  public static func file(_ path: String, train: Int? = nil, test: Int? = nil, seed: Int = 0) throws
    -> PointData
  {
    if let train { try check(train, "training points") }
    if let test { try check(test, "test points") }
    let points = try Tensor(contentsOf: path)
    guard points.shape.rank == 2, points.shape[1] == 2 else {
      throw CoixError.file(
        path: path, reason: "points are needed, one a row: [n, 2]; it has the shape \(points.shape)")
    }
    if let index = points.withScalars({ $0.firstIndex { !$0.isFinite } }) {
      throw CoixError.file(
        path: path, reason: "column \(index % 2 + 1) of row \(index / 2 + 1) is \(points.scalars[index])")
    }
    let count = points.shape[0]
    let testCount = test ?? max(count / 5, 1)
    let trainCount = train ?? max(count - testCount, 1)
    guard trainCount <= count - testCount else {
      throw CoixError.file(
        path: path,
        reason: "too few points: \(count), for \(trainCount) to train on and \(testCount) to test with")
    }
    let order = dataKey(seed).permutation(of: count)
    return PointData(
      train: points.rows(at: Array(order[testCount..<testCount + trainCount])),
      test: points.rows(at: Array(order[..<testCount])))
  }

  /// Two moons of `count` points, if the machine has room for them.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  public static func moons(_ count: Int, noise: Float = 0.1, key: PRNGKey) throws -> Tensor {
    // What making and shuffling takes for each point.
    let (bytes, overflow) = count.multipliedReportingOverflow(by: 80)
    guard !overflow, bytes <= ProcessInfo.processInfo.physicalMemory, count <= Int32.max else {
      throw CoixError.memory(what: "making \(count) points", bytes: overflow ? .max : bytes)
    }
    return try TwoMoons.points(count, noise: noise, key: key).validated()
  }

  /// A key that training with the same seed doesn't use.
  private static func dataKey(_ seed: Int) -> PRNGKey {
    PRNGKey(word0: 1, word1: UInt32(truncatingIfNeeded: seed))
  }

  private static func check(_ count: Int, _ what: String) throws {
    guard count >= 1 else {
      throw CoixError.argument("the number of \(what) must be at least 1, is \(count)")
    }
  }
}
