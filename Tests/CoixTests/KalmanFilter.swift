import Foundation

/// The exact answers of a linear-Gaussian state-space model, in double, by variances p, q and r:
/// x(0) ~ Normal(0, p I), x(t) ~ Normal(A x(t-1), q I), y(t) ~ Normal(C x(t), r I).
///
/// Kalman, "A new approach to linear filtering and prediction problems", 1960.
struct KalmanFilter {
  let transition: Matrix
  let emission: Matrix
  var prior = 1.0
  var drift = 1.0
  let noise: Double

  func logEvidence(_ observations: [[Double]]) -> Double { filtered(observations).logEvidence }

  /// The log-evidence of all observations, and the last state's mean and covariance.
  func filtered(_ observations: [[Double]]) -> (logEvidence: Double, mean: Matrix, covariance: Matrix) {
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
  func denseLogEvidence(_ observations: [[Double]]) -> Double {
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

/// A small matrix in double.
struct Matrix: Equatable {
  private(set) var values: [[Double]]
  var rows: Int { values.count }
  var columns: Int { values.first?.count ?? 0 }

  init(_ values: [[Double]]) { self.values = values }

  static func zeros(_ rows: Int, _ columns: Int) -> Matrix {
    Matrix(Array(repeating: Array(repeating: 0, count: columns), count: rows))
  }

  static func identity(_ size: Int) -> Matrix {
    Matrix((0..<size).map { row in (0..<size).map { row == $0 ? 1 : 0 } })
  }

  subscript(row: Int, column: Int) -> Double {
    get { values[row][column] }
    set { values[row][column] = newValue }
  }

  var transposed: Matrix { Matrix((0..<columns).map { column in values.map { $0[column] } }) }

  static func * (a: Matrix, b: Matrix) -> Matrix {
    let columns = b.transposed.values
    return Matrix(a.values.map { row in columns.map { zip(row, $0).reduce(0) { $0 + $1.0 * $1.1 } } })
  }
  static func * (a: Double, b: Matrix) -> Matrix { Matrix(b.values.map { $0.map { a * $0 } }) }
  static func + (a: Matrix, b: Matrix) -> Matrix {
    Matrix(zip(a.values, b.values).map { zip($0, $1).map { $0 + $1 } })
  }
  static func - (a: Matrix, b: Matrix) -> Matrix { a + -1 * b }

  /// The lower triangular L with L Lᵀ = self, for a symmetric positive definite matrix.
  var cholesky: Matrix {
    var factor = Matrix.zeros(rows, rows)
    for row in 0..<rows {
      for column in 0...row {
        let rest = self[row, column] - (0..<column).reduce(0) { $0 + factor[row, $1] * factor[column, $1] }
        factor[row, column] = row == column ? rest.squareRoot() : rest / factor[column, column]
      }
    }
    return factor
  }

  /// L⁻¹ b for this lower triangular L.
  func solvingLower(_ b: Matrix) -> Matrix {
    var result = b
    for column in 0..<b.columns {
      for row in 0..<rows {
        let rest = b[row, column] - (0..<row).reduce(0) { $0 + self[row, $1] * result[$1, column] }
        result[row, column] = rest / self[row, row]
      }
    }
    return result
  }

  /// The inverse of a symmetric positive definite matrix.
  var inverse: Matrix {
    let half = cholesky.solvingLower(.identity(rows))
    return half.transposed * half
  }

  /// log Normal(residual; 0, self).
  func logDensity(_ residual: Matrix) -> Double {
    let factor = cholesky
    let whitened = factor.solvingLower(residual)
    let logDeterminant = 2 * (0..<rows).reduce(0) { $0 + log(factor[$1, $1]) }
    return -0.5 * ((whitened.transposed * whitened)[0, 0] + logDeterminant + Double(rows) * logTwoPi)
  }
}
