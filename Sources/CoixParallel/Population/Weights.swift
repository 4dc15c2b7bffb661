import CoixKernels
import Foundation

/// Effective sample size and evidence of a plate's weights, `[particles, instances…]`.
package struct WeightSummary {
  /// 1 / Σ softmax(w)², the mean over instances.
  package let ess: Tensor
  /// logsumexp(w) - log S, summed over instances.
  package let logZ: Tensor

  /// Sums in double over all particles. Both numbers are differentiable.
  ///
  /// - Throws: ``CoixError/weights(step:instance:reason:)`` if an instance's weights are all -inf, or one is NaN or +inf.
  package init(_ logWeights: Tensor, step: String, workers: Workers) throws {
    let logWeights = try logWeights.validated()
    let particles = logWeights.shape.first ?? 1
    let instances = max(1, particles == 0 ? 1 : logWeights.shape.elementCount / particles)
    let moments = try WeightMoments(
      logWeights, particles: particles, instances: instances, step: step, workers)
    var ess = 0.0
    var logZ = 0.0
    for instance in 0..<instances {
      ess += moments.sampleSize(instance)
      logZ += moments.logSum(instance) - Foundation.log(Double(particles))
    }
    let flat: Shape = [particles, instances]
    self.logZ = Tensor(Float(logZ)).recorded(from: logWeights) { gradient in
      gradient * logWeights.reshaped(to: flat).softmax(axis: 0).reshaped(to: logWeights.shape)
    }
    self.ess = Tensor(Float(ess / Double(instances))).recorded(from: logWeights) { gradient in
      // With p = softmax(w) and q = Σ p²: d(1/q)/dw = -2 p (p - q) / q².
      let p = logWeights.reshaped(to: flat).softmax(axis: 0)
      let q = p.squared.sum(axes: [0], keepingAxes: true)
      let derivative = -2 * p * (p - q) / q.squared
      return (gradient * derivative / Float(instances)).reshaped(to: logWeights.shape)
    }
  }
}

/// For each instance: the greatest log-weight, and sums of exp(w - greatest) and its square.
package struct WeightMoments {
  fileprivate private(set) var greatest: [Double]
  fileprivate private(set) var sums: [Double]
  fileprivate private(set) var squares: [Double]

  /// The effective sample size of an instance's weights, 1 / Σ softmax(w)², between 1 and the number of particles.
  package func sampleSize(_ instance: Int) -> Double {
    sums[instance] * sums[instance] / squares[instance]
  }

  /// The log of the sum of an instance's weights.
  package func logSum(_ instance: Int) -> Double { greatest[instance] + Foundation.log(sums[instance]) }

  /// Of weights `[particles, instances]`.
  ///
  /// - Throws: ``CoixError/weights(step:instance:reason:)`` if an instance's weights are all -inf, or one is NaN or +inf.
  package init(_ logWeights: Tensor, particles: Int, instances: Int, step: String, _ workers: Workers) throws
  {
    greatest = [Double](repeating: 0, count: instances)
    sums = greatest
    squares = greatest
    coix_weight_moments(
      logWeights.pointer, &greatest, &sums, &squares, particles, instances, Int32(workers.team))
    for instance in 0..<instances {
      if sums[instance].isNaN || greatest[instance] == .infinity {
        func weight(_ particle: Int) -> Float { logWeights.pointer[particle * instances + instance] }
        let particle = (0..<particles).first { weight($0).isNaN || weight($0) == .infinity } ?? 0
        throw CoixError.weights(
          step: step, instance: RowLocation(row: instance),
          reason: "the log-weight of particle \(particle) is \(weight(particle).isNaN ? "NaN" : "+inf")")
      }
      if greatest[instance] == -.infinity {
        throw CoixError.weights(
          step: step, instance: RowLocation(row: instance),
          reason: "the log-weights of all particles are -inf")
      }
    }
  }
}
