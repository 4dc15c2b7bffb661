import Coix
import CoixParallel
import Foundation
import Testing

/// Log-densities and their gradients at extreme operands, in units in the last place, against 120-digit
/// arithmetic (`Tests/References/log_densities.py`).
@Suite struct AccuracyTests {
  private struct Point: Decodable {
    /// Numbers, or "inf" and "-inf".
    enum Operand: Decodable {
      case number(Float)

      init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let number = try? container.decode(Float.self) {
          self = .number(number)
        } else {
          self = .number(try container.decode(String.self) == "inf" ? .infinity : -.infinity)
        }
      }
    }

    let operands: [Operand]
    let value: Double
    let slopes: [Double]
  }

  private static func points() throws -> [String: [Point]] {
    let folder = try #require(Bundle.module.resourceURL)
    return try JSONDecoder().decode(
      [String: [Point]].self, from: Data(contentsOf: folder.appending(path: "Golden/accuracy.json")))
  }

  private typealias Density = @Sendable ([Tensor]) -> Tensor

  /// Families of the table as the distributions that use them, or as they are.
  private static let densities: [String: Density] = [
    "gamma": { Gamma($0[1], $0[2]).logProb(of: $0[0]) },
    "inverse_gamma": { logDensity(.inverseGamma, $0[0], $0[1], $0[2]) },
    "beta": { Beta($0[1], $0[2]).logProb(of: $0[0]) },
    "log_beta": { logBeta($0[0], $0[1]) },
    "poisson": { Poisson($0[1]).logProb(of: $0[0]) },
    "binomial": { logDensity(.binomial, $0[0], $0[1], $0[2]) },
    "binomial_logits": { logDensity(.binomialLogits, $0[0], $0[1], $0[2]) },
    "negative_binomial": { logDensity(.negativeBinomial, $0[0], $0[1], $0[2]) },
    "negative_binomial_logits": { logDensity(.negativeBinomialLogits, $0[0], $0[1], $0[2]) },
    "negative_binomial_mean": { logDensity(.negativeBinomialMean, $0[0], $0[1], $0[2]) },
    "student_t": { StudentT($0[1], $0[2], $0[3]).logProb(of: $0[0]) },
    "cauchy": { Cauchy($0[1], $0[2]).logProb(of: $0[0]) },
    "laplace": { Laplace($0[1], $0[2]).logProb(of: $0[0]) },
    "uniform": { Uniform($0[1], $0[2]).logProb(of: $0[0]) },
    "truncated_normal": { TruncatedNormal($0[1], $0[2], low: $0[3], high: $0[4]).logProb(of: $0[0]) },
  ]

  private static func ulps(_ found: Float, _ expected: Double) -> Double {
    guard found.isFinite else { return .infinity }
    return abs(Double(found) - expected) / Double(Float(expected).ulp)
  }

  /// The bound that the article "Accuracy" states.
  @Test func withinOneUnitInTheLastPlace() throws {
    let table = try Self.points()
    #expect(Set(table.keys) == Set(Self.densities.keys))
    for (family, points) in table.sorted(by: { $0.key < $1.key }) {
      let density = try #require(Self.densities[family])
      var (worst, worstSlope) = (0.0, 0.0)
      for point in points {
        let operands = point.operands.map { if case .number(let number) = $0 { number } else { Float.nan } }
        let result = try valueWithGradient(at: operands.map { Tensor($0) }) { density($0) }
        worst = max(worst, Self.ulps(result.value, point.value))
        for (found, expected) in zip(result.gradient, point.slopes) {
          worstSlope = max(worstSlope, Self.ulps(found.scalar, expected))
        }
      }
      #expect(worst < 0.75, "\(family), values")
      #expect(worstSlope < 0.75, "\(family), gradients")
    }
  }
}
