import Foundation

/// The normalised cumulative weights of one column of log-weights, in double.
struct CumulativeWeights {
  /// Ascending from 0 to 1: particle i has the share between bound i and bound i + 1.
  let bounds: [Double]

  init(_ logWeights: [Float]) {
    let greatest = Double(logWeights.max() ?? 0)
    let weights = logWeights.map { exp(Double($0) - greatest) }
    let total = weights.reduce(0, +)
    var sum = 0.0
    bounds =
      [0]
      + weights.map {
        sum += $0
        return sum / total
      }
  }

  /// A particle's normalised weight.
  func weight(_ particle: Int) -> Double { bounds[particle + 1] - bounds[particle] }

  func share(of particle: Int) -> Share {
    bounds.indices.dropLast().contains(particle)
      ? Share(lower: bounds[particle], upper: bounds[particle + 1]) : Share(lower: .nan, upper: .nan)
  }

  struct Share {
    let lower: Double
    let upper: Double

    func contains(_ position: Double, within margin: Double) -> Bool {
      position > lower - margin && position < upper + margin
    }
  }
}
