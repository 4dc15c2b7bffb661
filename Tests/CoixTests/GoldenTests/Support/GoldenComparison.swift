import Coix
import Testing

extension GoldenCase {
  /// Compares numbers with those expected, one by one.
  ///
  /// - Returns: what is wrong, naming case, entry and worst offender; nil if nothing is.
  func difference(_ entry: String, expected: [Float], found: [Float], within tolerance: Tolerance) -> String?
  {
    guard expected.count == found.count else {
      return "\(name): \(entry) has \(found.count) numbers, expected \(expected.count)"
    }
    var wrong = 0
    var worst: (index: Int, excess: Float)?
    for index in expected.indices where !tolerance.accepts(found[index], expected[index]) {
      wrong += 1
      let allowance = Swift.max(tolerance.allowance(for: expected[index]), .leastNormalMagnitude)
      let distance = (found[index] - expected[index]).magnitude / allowance
      let excess = distance.isFinite ? distance : .infinity
      if excess > worst?.excess ?? -1 { worst = (index, excess) }
    }
    guard let worst else { return nil }
    return "\(name): \(entry) differs in \(wrong) of \(expected.count) numbers, worst at \(worst.index): "
      + "found \(found[worst.index]), expected \(expected[worst.index]) (\(tolerance))"
  }

  /// Compares a tensor with an expected entry: the shape, then every number.
  ///
  /// - Parameters:
  ///   - broadcasting: whether the entry may lack axes that the tensor has, or have size 1 there, or have a
  ///     last axis of size 1 that the tensor lacks.
  ///   - tiedRows: along the first axis, how many rows may differ, because rounding chose them. A single
  ///     number, a mean of rows, may then differ by a hundredth.
  /// - Throws: if the case has no such entry.
  func difference(
    _ entry: String, _ found: Tensor, within tolerance: Tolerance, broadcasting: Bool = false,
    tiedRows: Int = 0
  ) throws -> String? {
    let expected = try expectation(entry)
    if let failure = found.failure { return "\(name): \(entry) failed: \(failure)" }
    var wanted = expected.tensor
    if broadcasting, wanted.shape == found.shape.appending([1]) { wanted = wanted.reshaped(to: found.shape) }
    if broadcasting, Shape.broadcast(wanted.shape, found.shape) == found.shape {
      wanted = wanted.broadcast(to: found.shape)
    }
    guard wanted.shape == found.shape else {
      return "\(name): \(entry) has shape \(found.shape), expected \(wanted.shape)"
    }
    let tolerance =
      expected.isExact ? .exact : tiedRows > 0 && found.shape.rank == 0 ? .mixed(0.01) : tolerance
    let numbers = (wanted.scalars, found.scalars)
    if tiedRows > 0, let rows = found.shape.first, rows > 0 {
      let wrong = numbers.0.indices.filter { !tolerance.accepts(numbers.1[$0], numbers.0[$0]) }
      if Set(wrong.map { $0 / (numbers.0.count / rows) }).count <= tiedRows { return nil }
    }
    return difference(entry, expected: numbers.0, found: numbers.1, within: tolerance)
  }

  /// Compares whole numbers with an expected entry: they must be equal.
  ///
  /// - Throws: if the case has no such entry.
  func difference(_ entry: String, _ found: [some BinaryInteger]) throws -> String? {
    let expected = try expectation(entry)
    let wanted = expected.integers
    guard wanted.count == found.count, expected.isExact else {
      return "\(name): \(entry) has \(found.count) whole numbers, expected \(expected.kind) \(expected.shape)"
    }
    let wrong = wanted.indices.filter { wanted[$0] != Int(found[$0]) }
    guard let first = wrong.first else { return nil }
    return "\(name): \(entry) differs in \(wrong.count) of \(wanted.count) numbers, first at \(first): "
      + "found \(found[first]), expected \(wanted[first])"
  }
}

/// Records a test issue for each difference.
func report(_ differences: String?..., sourceLocation: SourceLocation = #_sourceLocation) {
  for difference in differences {
    if let difference { Issue.record(Comment(rawValue: difference), sourceLocation: sourceLocation) }
  }
}
