import CoixParallel
import Foundation

/// Log-weights `[particles, instances…]`, to be looked at one instance at a time.
struct InstanceWeights {
  let particles: Int
  /// The instances' axes.
  let instances: Shape
  private let logWeights: [Float]
  private let moments: WeightMoments

  /// - Throws: `CoixError.weights(step:instance:reason:)` where an instance's weights are all -inf, or one is NaN or +inf;
  ///   `CoixError.argument(_:)` without a particle axis or particles.
  init(_ tensor: Tensor) throws {
    let tensor = try tensor.validated()
    guard tensor.shape.rank > 0, !tensor.isBatched, !tensor.isMapped, tensor.shape[0] > 0 else {
      throw CoixError.argument(
        "log-weights need particles on their first axis; their shape is \(tensor.shape)"
          + (tensor.shape.rank > 0
            ? ""
            : ", that of a single run: evaluate the program in a plate, Plate(\"particle\", count: 1_000)(program), say")
      )
    }
    particles = tensor.shape[0]
    instances = tensor.shape.dropping(1)
    logWeights = tensor.scalars
    moments = try WeightMoments(
      tensor, particles: particles, instances: instances.elementCount, step: "weights", .standard)
  }

  /// A number for each instance.
  func map(_ number: (Int) -> Double) -> Tensor {
    Tensor((0..<instances.elementCount).map { Float(number($0)) }, shape: instances)
  }

  /// One instance's log-weights.
  func logWeights(_ instance: Int) -> [Double] {
    (0..<particles).map { Double(logWeights[$0 * instances.elementCount + instance]) }
  }

  /// One instance's weights, which sum to 1.
  func normalized(_ instance: Int) -> [Double] {
    let logWeights = logWeights(instance)
    // The greatest one apart from the sum: the sum's logarithm would be lost beside a great number.
    let greatest = logWeights.max() ?? 0
    let weights = logWeights.map { exp($0 - greatest) }
    let total = weights.reduce(0, +)
    return weights.map { $0 / total }
  }

  /// 1 / Σ w² of an instance's normalised weights.
  func sampleSize(_ instance: Int) -> Double { moments.sampleSize(instance) }

  /// The log of the sum of an instance's weights.
  func logSum(_ instance: Int) -> Double { moments.logSum(instance) }
}

/// The effective sample size 1 / Σ w² of the normalised weights, between 1 and the number of particles, of log-weights
/// `[particles, instances…]`: `[instances…]`.
///
/// Of a step's incremental log-weights it is the incremental, of cumulative ones the cumulative effective sample size. Kong, "A note
/// on importance sampling using standardized weights", 1992.
///
/// - Throws: `CoixError.weights(step:instance:reason:)` where an instance's weights are all -inf, or one is NaN or +inf.
public func effectiveSampleSize(_ logWeights: Tensor) throws -> Tensor {
  let weights = try InstanceWeights(logWeights)
  return weights.map(weights.sampleSize)
}

/// The log of the estimated evidence, logsumexp(w) - log S, of log-weights `[particles, instances…]`: `[instances…]`.
///
/// - Throws: as ``effectiveSampleSize(_:)``.
public func logEvidence(_ logWeights: Tensor) throws -> Tensor {
  let weights = try InstanceWeights(logWeights)
  return weights.map { weights.logSum($0) - log(Double(weights.particles)) }
}
