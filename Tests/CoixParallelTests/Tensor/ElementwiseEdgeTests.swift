import Foundation
import TestSupport
import Testing

@testable import CoixParallel

/// Values and slopes at both zeros, at both infinities and at NaN: the closed forms' limits.
@Suite struct ElementwiseEdgeTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let function: @Sendable (Tensor) -> Tensor
    let points: [Float]
    let values: [Double]
    let slopes: [Double]

    /// Values and slopes at -inf, -0, 0, inf and NaN.
    init(
      _ name: String, _ values: [Double], _ slopes: [Double],
      _ function: @escaping @Sendable (Tensor) -> Tensor
    ) {
      self.init(name, at: [-.infinity, -0.0, 0, .infinity, .nan], values, slopes, function)
    }

    init(
      _ name: String, at points: [Float], _ values: [Double], _ slopes: [Double],
      _ function: @escaping @Sendable (Tensor) -> Tensor
    ) {
      (testDescription, self.function) = (name, function)
      (self.points, self.values, self.slopes) = (points, values, slopes)
    }
  }

  private static let (inf, nan) = (Double.infinity, Double.nan)
  /// log 2, the normal density at 0, and √π / 2.
  private static let (log2, density, root) = (log(2.0), 1 / sqrt(2 * Double.pi), sqrt(Double.pi) / 2)

  static let cases: [Case] = [
    Case("-", [inf, 0, 0, -inf, nan], [-1, -1, -1, -1, -1]) { -$0 },
    Case("abs", [inf, 0, 0, inf, nan], [-1, 0, 0, 1, nan]) { abs($0) },
    Case("squared", [inf, 0, 0, inf, nan], [-inf, 0, 0, inf, nan]) { $0.squared },
    Case("reciprocal", [0, -inf, inf, 0, nan], [0, -inf, -inf, 0, nan]) { $0.reciprocal },
    Case("sign", [-1, 0, 0, 1, nan], [0, 0, 0, 0, 0]) { $0.sign },
    Case("floor", [-inf, 0, 0, inf, nan], [0, 0, 0, 0, 0]) { $0.floor },
    Case("exp", [0, 1, 1, inf, nan], [0, 1, 1, inf, nan]) { exp($0) },
    Case("expm1", [-1, 0, 0, inf, nan], [0, 1, 1, inf, nan]) { expm1($0) },
    // Below the domain the slope is its formula's, as in JAX.
    Case("log", [nan, -inf, -inf, inf, nan], [0, inf, inf, 0, nan]) { log($0) },
    Case("log1p", [nan, 0, 0, inf, nan], [0, 1, 1, 0, nan]) { log1p($0) },
    Case("log1p", at: [-1], [-inf], [inf]) { log1p($0) },
    Case("sqrt", [nan, 0, 0, inf, nan], [nan, inf, inf, 0, nan]) { sqrt($0) },
    Case("tanh", [-1, 0, 0, 1, nan], [0, 1, 1, 0, nan]) { tanh($0) },
    Case("sigmoid", [0, 0.5, 0.5, 1, nan], [0, 0.25, 0.25, 0, nan]) { sigmoid($0) },
    Case("softplus", [0, log2, log2, inf, nan], [0, 0.5, 0.5, 1, nan]) { softplus($0) },
    Case("logSigmoid", [-inf, -log2, -log2, 0, nan], [1, 0.5, 0.5, 0, nan]) { logSigmoid($0) },
    Case("relu", [0, 0, 0, inf, nan], [0, 0, 0, 1, 0]) { relu($0) },
    Case("sin", [nan, 0, 0, nan, nan], [nan, 1, 1, nan, nan]) { sin($0) },
    Case("cos", [nan, 1, 1, nan, nan], [nan, 0, 0, nan, nan]) { cos($0) },
    // The sides of the pole at 0 differ by its sign; at the other poles no side is the floats' own.
    Case("logGamma", [inf, inf, inf, inf, nan], [nan, inf, -inf, inf, nan]) { logGamma($0) },
    Case("digamma", [nan, inf, -inf, inf, nan], [nan, inf, inf, 0, nan]) { digamma($0) },
    Case("logGamma", at: [-1, -2, 1e-45, -1e-45], [inf, inf, 103.2789, 103.2789], [nan, nan, -inf, inf]) {
      logGamma($0)
    },
    Case("digamma", at: [-1, -2], [nan, nan], [inf, inf]) { digamma($0) },
    Case("erfInverse", [nan, 0, 0, nan, nan], [nan, root, root, nan, nan]) { erfInverse($0) },
    Case("erfInverse", at: [-1, 1], [-inf, inf], [inf, inf]) { erfInverse($0) },
    Case("normalCDF", [0, 0.5, 0.5, 1, nan], [0, density, density, 0, nan]) { normalCDF($0) },
    Case("logNormalCDF", [-inf, -log2, -log2, 0, nan], [inf, 2 * density, 2 * density, 0, nan]) {
      logNormalCDF($0)
    },
    // Far out the slope is -x - 1/x.
    Case(
      "logNormalCDF", at: [-29.9, -30.1, -1e4, -1e8, -1e19],
      [-451.322_901, -457.329_576, -5.000_001_013e7, -5e15, -5e37], [29.933_37, 30.133_15, 1e4, 1e8, 1e19]
    ) { logNormalCDF($0) },
    Case("normalQuantile", [nan, -inf, -inf, nan, nan], [nan, inf, inf, nan, nan]) { normalQuantile($0) },
    Case("normalQuantile", at: [1], [inf], [inf]) { normalQuantile($0) },
    Case("logBesselI0Scaled", at: [0, .infinity, .nan], [0, -inf, nan], [-1, 0, nan]) {
      logBesselI0Scaled($0)
    },
    Case("pow(x, 2)", [inf, 0, 0, inf, nan], [-inf, 0, 0, inf, nan]) { pow($0, 2) },
    Case("pow(x, 3)", [-inf, 0, 0, inf, nan], [inf, 0, 0, inf, nan]) { pow($0, 3) },
    Case("pow(x, -1)", [0, -inf, inf, 0, nan], [0, -inf, -inf, 0, nan]) { pow($0, -1) },
    Case("pow(x, 0)", [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]) { pow($0, 0) },
    Case("1 / x", [0, -inf, inf, 0, nan], [0, -inf, -inf, 0, nan]) { 1 / $0 },
    Case("x / 2", [-inf, 0, 0, inf, nan], [0.5, 0.5, 0.5, 0.5, 0.5]) { $0 / 2 },
  ]

  @Test(arguments: cases) func limits(_ test: Case) throws {
    // One after another, and repeated to whole vectors of lanes.
    for repeats in [1, 20] {
      let x = Array(repeating: test.points, count: repeats).flatMap { $0 }
      let found = test.function(Tensor(x)).scalars
      let expected = Array(repeating: test.values, count: repeats).flatMap { $0 }
      #expect(distance(found, expected) < 1e-6, "\(found.prefix(test.points.count))")
      let slopes = try gradients(of: { test.function($0[0]) }, at: [Tensor(x)])[0]
      let expectedSlopes = Array(repeating: test.slopes, count: repeats).flatMap { $0 }
      #expect(distance(slopes, expectedSlopes) < 1e-6, "\(slopes.prefix(test.points.count))")
    }
  }
}
