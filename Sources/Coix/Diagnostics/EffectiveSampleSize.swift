import CoixParallel
import Foundation

extension LogWeights {
  /// A number for each instance, `[instances…]`.
  ///
  /// - Throws: `CoixError.memory(what:bytes:)`.
  func forEachInstance(_ number: (Int) throws -> Double) throws -> Tensor {
    let count = instanceShape.elementCount
    try Memory.require(count, of: Float.self, for: "a number for each of \(count) instances")
    return try Tensor((0..<count).map { Float(try number($0)) }, shape: instanceShape).validated()
  }
}

/// The effective sample size 1 / Σ w² of the normalised weights, between 1 and the number of particles, of
/// log-weights `[particles, instances…]`: `[instances…]`.
///
/// Of a step's incremental log-weights it is the incremental, of cumulative ones the cumulative effective
/// sample size. Kong, "A note on importance sampling using standardized weights", 1992.
///
/// - Throws: `CoixError.weights(instance:reason:)` where an instance's weights are all -inf, or one is
///   NaN or +inf.
public func effectiveSampleSize(_ logWeights: Tensor) throws -> Tensor {
  let weights = try LogWeights(logWeights)
  return try weights.forEachInstance(weights.moments().sampleSize)
}

/// The log of the estimated evidence, logsumexp(w) - log S, of log-weights `[particles, instances…]`:
/// `[instances…]`.
///
/// - Throws: as ``effectiveSampleSize(_:)``.
public func logEvidence(_ logWeights: Tensor) throws -> Tensor {
  let weights = try LogWeights(logWeights)
  let moments = try weights.moments()
  return try weights.forEachInstance { moments.logSum($0) - log(Double(weights.population.particles)) }
}
