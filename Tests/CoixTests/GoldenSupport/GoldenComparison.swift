import Coix
import Testing

/// Compares an entry of a case with what was found: the shape, then every number.
///
/// - Parameter shape: the shape found; nil for one that is not compared.
/// - Returns: what is wrong, naming case, entry and worst offender; nil if nothing is.
func difference(
  _ golden: GoldenCase, _ entry: String, expected: [Float], found: [Float], shape: (expected: [Int], found: [Int])? = nil,
  within tolerance: Tolerance
) -> String? {
  if let shape, shape.expected != shape.found {
    return "\(golden.name): \(entry) has shape \(shape.found), expected \(shape.expected)"
  }
  guard expected.count == found.count else {
    return "\(golden.name): \(entry) has \(found.count) numbers, expected \(expected.count)"
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
  return "\(golden.name): \(entry) differs in \(wrong) of \(expected.count) numbers, worst at \(worst.index): "
    + "found \(found[worst.index]), expected \(expected[worst.index]) (\(tolerance))"
}

/// The same, for a tensor of the file and one of the package.
///
/// - Parameter broadcasting: whether the file's tensor may lack axes that the other one has, or have size 1 there.
func difference(
  _ golden: GoldenCase, _ entry: String, _ expected: GoldenTensor, _ found: Tensor, within tolerance: Tolerance,
  broadcasting: Bool = false
) -> String? {
  if let failure = found.failure { return "\(golden.name): \(entry) failed: \(failure)" }
  var wanted = expected.tensor
  if broadcasting, Shape.broadcast(wanted.shape, found.shape) == found.shape { wanted = wanted.broadcast(to: found.shape) }
  return difference(
    golden, entry, expected: wanted.scalars, found: found.scalars, shape: (Array(wanted.shape), Array(found.shape)),
    within: expected.isExact ? .exact : tolerance)
}

/// Records a test issue for each difference.
func report(_ differences: [String?], sourceLocation: SourceLocation = #_sourceLocation) {
  for difference in differences.compactMap({ $0 }) { Issue.record(Comment(rawValue: difference), sourceLocation: sourceLocation) }
}
