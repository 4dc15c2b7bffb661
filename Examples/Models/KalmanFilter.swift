import Foundation

/// The exact answers of a linear-Gaussian state-space model, in double, by variances p, q and r:
/// x(0) ~ Normal(0, p I), x(t) ~ Normal(A x(t-1), q I), y(t) ~ Normal(C x(t), r I).
///
/// Kalman, "A new approach to linear filtering and prediction problems", 1960.
package struct KalmanFilter {
  package let transition: Matrix
  package let emission: Matrix
  package var prior = 1.0
  package var drift = 1.0
  package let noise: Double

  package init(
    transition: Matrix, emission: Matrix, prior: Double = 1, drift: Double = 1, noise: Double
  ) {
    (self.transition, self.emission) = (transition, emission)
    (self.prior, self.drift, self.noise) = (prior, drift, noise)
  }

  /// The log-evidence of all observations.
  package func logEvidence(_ observations: [[Double]]) -> Double { filtered(observations).logEvidence }

  /// The log-evidence of all observations, and the last state's mean and covariance.
  package func filtered(_ observations: [[Double]]) -> (logEvidence: Double, mean: Matrix, covariance: Matrix)
  {
    var mean = Matrix.zeros(transition.rows, 1)
    var covariance = prior * .identity(transition.rows)
    var logEvidence = 0.0
    for (time, observation) in observations.enumerated() {
      if time > 0 {
        mean = transition * mean
        covariance = transition * covariance * transition.transposed + drift * .identity(transition.rows)
      }
      let residual = Matrix(observation.map { [$0] }) - emission * mean
      let innovation = emission * covariance * emission.transposed + noise * .identity(emission.rows)
      logEvidence += innovation.logDensity(residual)
      let gain = covariance * emission.transposed * innovation.inverse
      mean = mean + gain * residual
      covariance = covariance - gain * emission * covariance
    }
    return (logEvidence, mean, covariance)
  }

  /// The same from the joint density of all observations: log Normal(y; 0, Σ) with the whole of Σ.
  package func denseLogEvidence(_ observations: [[Double]]) -> Double {
    let (steps, size) = (observations.count, emission.rows)
    // The state's covariance at each time, and Cov(x(t), x(s)) = A^(t - s) Var x(s) for t ≥ s.
    var variances = [prior * .identity(transition.rows)]
    for _ in 1..<max(steps, 1) {
      variances.append(
        transition * variances[variances.count - 1] * transition.transposed
          + drift * .identity(transition.rows))
    }
    var joint = Matrix.zeros(steps * size, steps * size)
    for earlier in 0..<steps {
      var covariance = variances[earlier]
      for later in earlier..<steps {
        let block = emission * covariance * emission.transposed
        for row in 0..<size {
          for column in 0..<size {
            joint[later * size + row, earlier * size + column] = block[row, column]
            joint[earlier * size + column, later * size + row] = block[row, column]
          }
        }
        covariance = transition * covariance
      }
    }
    joint = joint + noise * .identity(steps * size)
    return joint.logDensity(Matrix(observations.flatMap { $0 }.map { [$0] }))
  }
}
