import Foundation

/// A small matrix in double.
package struct Matrix: Equatable {
  package private(set) var values: [[Double]]
  package var rows: Int { values.count }
  package var columns: Int { values.first?.count ?? 0 }

  package init(_ values: [[Double]]) { self.values = values }

  package static func zeros(_ rows: Int, _ columns: Int) -> Matrix {
    Matrix(Array(repeating: Array(repeating: 0, count: columns), count: rows))
  }

  package static func identity(_ size: Int) -> Matrix {
    Matrix((0..<size).map { row in (0..<size).map { row == $0 ? 1 : 0 } })
  }

  package subscript(row: Int, column: Int) -> Double {
    get { values[row][column] }
    set { values[row][column] = newValue }
  }

  package var transposed: Matrix { Matrix((0..<columns).map { column in values.map { $0[column] } }) }

  package static func * (a: Matrix, b: Matrix) -> Matrix {
    let columns = b.transposed.values
    return Matrix(a.values.map { row in columns.map { zip(row, $0).reduce(0) { $0 + $1.0 * $1.1 } } })
  }
  package static func * (a: Double, b: Matrix) -> Matrix { Matrix(b.values.map { $0.map { a * $0 } }) }
  package static func + (a: Matrix, b: Matrix) -> Matrix {
    Matrix(zip(a.values, b.values).map { zip($0, $1).map { $0 + $1 } })
  }
  package static func - (a: Matrix, b: Matrix) -> Matrix { a + -1 * b }

  /// The lower triangular L with L Lᵀ = self, for a symmetric positive definite matrix.
  package var cholesky: Matrix {
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
  package func solvingLower(_ b: Matrix) -> Matrix {
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
  package var inverse: Matrix {
    let half = cholesky.solvingLower(.identity(rows))
    return half.transposed * half
  }

  /// log Normal(residual; 0, self).
  package func logDensity(_ residual: Matrix) -> Double {
    let factor = cholesky
    let whitened = factor.solvingLower(residual)
    let logDeterminant = 2 * (0..<rows).reduce(0) { $0 + log(factor[$1, $1]) }
    return -0.5
      * ((whitened.transposed * whitened)[0, 0] + logDeterminant + Double(rows) * log(2 * Double.pi))
  }
}
