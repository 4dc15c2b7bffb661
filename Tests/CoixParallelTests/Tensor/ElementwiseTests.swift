import Foundation
import TestSupport
import Testing

@testable import CoixParallel

@Suite struct ElementwiseTests {
  /// An operation with its value and slope in double precision, and where they are compared.
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let domain: ClosedRange<Float>
    let function: @Sendable (Tensor) -> Tensor
    let value: @Sendable (Double) -> Double
    let slope: @Sendable (Double) -> Double
    var testDescription: String { name }

    init(
      _ name: String, _ domain: ClosedRange<Float>, _ function: @escaping @Sendable (Tensor) -> Tensor,
      _ value: @escaping @Sendable (Double) -> Double, _ slope: @escaping @Sendable (Double) -> Double
    ) {
      (self.name, self.domain, self.function, self.value, self.slope) = (name, domain, function, value, slope)
    }
  }

  /// The derivative of the logarithm of the gamma function: recurrence up to 12, then the asymptotic series
  /// (Abramowitz and Stegun, 6.3.18).
  static func exactDigamma(_ x: Double) -> Double {
    if x < 12 { return exactDigamma(x + 1) - 1 / x }
    let r = 1 / (x * x)
    return log(x) - 1 / (2 * x) - r * (1.0 / 12 - r * (1.0 / 120 - r * (1.0 / 252 - r / 240)))
  }

  /// The derivative of that (6.4.12).
  static func exactTrigamma(_ x: Double) -> Double {
    if x < 12 { return exactTrigamma(x + 1) + 1 / (x * x) }
    let r = 1 / (x * x)
    return 1 / x + r / 2 + r / x * (1.0 / 6 - r * (1.0 / 30 - r * (1.0 / 42 - r / 30)))
  }

  /// Newton's method on erf.
  static func exactErfInverse(_ y: Double) -> Double {
    var x = 0.0
    for _ in 0..<60 { x -= (erf(x) - y) / (2 / Double.pi.squareRoot() * exp(-x * x)) }
    return x
  }

  static func exactNormalCDF(_ x: Double) -> Double { erfc(-x / 2.0.squareRoot()) / 2 }
  static func exactNormalDensity(_ x: Double) -> Double { exp(-x * x / 2) / (2 * Double.pi).squareRoot() }

  static let cases: [Case] = [
    Case("-", -3...3, { -$0 }, { -$0 }, { _ in -1 }),
    Case("magnitude", -3...3, { $0.magnitude }, { $0.magnitude }, { $0 > 0 ? 1 : $0 < 0 ? -1 : 0 }),
    Case("abs", -3...3, { abs($0) }, { $0.magnitude }, { $0 > 0 ? 1 : $0 < 0 ? -1 : 0 }),
    Case("squared", -3...3, { $0.squared }, { $0 * $0 }, { 2 * $0 }),
    Case("reciprocal", 0.5...3, { $0.reciprocal }, { 1 / $0 }, { -1 / ($0 * $0) }),
    Case("exp", -3...3, { exp($0) }, { exp($0) }, { exp($0) }),
    Case("expm1", -3...3, { expm1($0) }, { expm1($0) }, { exp($0) }),
    Case("log", 0.25...4, { log($0) }, { log($0) }, { 1 / $0 }),
    Case("log1p", -0.5...4, { log1p($0) }, { log1p($0) }, { 1 / (1 + $0) }),
    Case("sqrt", 0.25...4, { sqrt($0) }, { $0.squareRoot() }, { 0.5 / $0.squareRoot() }),
    Case("tanh", -3...3, { tanh($0) }, { tanh($0) }, { 1 - pow(tanh($0), 2) }),
    Case("sigmoid", -6...6, { sigmoid($0) }, { 1 / (1 + exp(-$0)) }, { exp(-$0) / pow(1 + exp(-$0), 2) }),
    Case("softplus", -6...6, { softplus($0) }, { log1p(exp($0)) }, { 1 / (1 + exp(-$0)) }),
    Case("logSigmoid", -6...6, { logSigmoid($0) }, { -log1p(exp(-$0)) }, { 1 / (1 + exp($0)) }),
    Case("relu", -3...3, { relu($0) }, { Swift.max($0, 0) }, { $0 > 0 ? 1 : 0 }),
    Case("sin", -6...6, { sin($0) }, { sin($0) }, { cos($0) }),
    Case("cos", -6...6, { cos($0) }, { cos($0) }, { -sin($0) }),
    Case("sign", -3...3, { $0.sign }, { $0 > 0 ? 1 : $0 < 0 ? -1 : 0 }, { _ in 0 }),
    Case("floor", -3...3, { $0.floor }, { $0.rounded(.down) }, { _ in 0 }),
    Case("logGamma", 0.25...6, { logGamma($0) }, { lgamma($0) }, exactDigamma),
    Case("digamma", 0.5...6, { digamma($0) }, exactDigamma, exactTrigamma),
    Case(
      "erfInverse", -0.875...0.875, { erfInverse($0) }, exactErfInverse,
      { Double.pi.squareRoot() / 2 * exp(pow(exactErfInverse($0), 2)) }),
    Case("normalCDF", -4...4, { normalCDF($0) }, exactNormalCDF, exactNormalDensity),
    Case(
      "logNormalCDF", -6...3, { logNormalCDF($0) }, { log(exactNormalCDF($0)) },
      { exactNormalDensity($0) / exactNormalCDF($0) }),
    Case(
      "normalQuantile", 0.125...0.875, { normalQuantile($0) },
      { exactErfInverse(2 * $0 - 1) * 2.0.squareRoot() },
      { 1 / exactNormalDensity(exactErfInverse(2 * $0 - 1) * 2.0.squareRoot()) }),
  ]

  @Test(arguments: cases)
  func valuesAndSlopes(_ test: Case) throws {
    // 43 numbers: whole vectors and a rest, zero among them where it is in the domain.
    var generator = SplitMix(seed: 1)
    let x = [Swift.max(0, test.domain.lowerBound)] + generator.gridFloats(42, in: test.domain)
    let doubles = x.map(Double.init)
    #expect(distance(test.function(Tensor(x)).scalars, doubles.map(test.value)) < 1e-6)
    let slopes = try gradients(of: { test.function($0[0]) }, at: [Tensor(x)])
    #expect(distance(slopes[0], doubles.map(test.slope)) < 3e-6)
  }

  @Test(arguments: cases.filter { !["sign", "floor", "relu", "magnitude", "abs"].contains($0.name) })
  func differences(_ test: Case) throws {
    // Steep beyond these.
    let domain: ClosedRange<Float> =
      switch test.name {
      case "erfInverse": -0.5...0.5
      case "normalQuantile": 0.25...0.75
      default: test.domain
      }
    try expectGradients(test.name, [[2, 3]], in: domain) { test.function($0[0]) }
  }

  @Test func differencesAwayFromKinks() throws {
    let aside: Tensor = 0.25
    try expectGradients("relu", [[2, 3]], separated: true) { relu($0[0] + aside) }
    try expectGradients("abs", [[2, 3]], separated: true) { abs($0[0] + aside) }
    try expectGradients("floor", [[2, 3]], separated: true) { ($0[0] + aside).floor * $0[0] }
    try expectGradients("sign", [[2, 3]], separated: true) { ($0[0] + aside).sign * $0[0] }
  }

  @Test func edges() {
    let x = Tensor([0, -1, .infinity, -.infinity, .nan])
    #expect(distance(log(x).scalars, [-.infinity, .nan, .infinity, .nan, .nan]) == 0)
    #expect(distance(exp(x).scalars, [1, exp(-1), .infinity, 0, .nan]) < 1e-7)
    #expect(distance(sqrt(x).scalars, [0, .nan, .infinity, .nan, .nan]) == 0)
    #expect(distance(softplus(x).scalars, [log(2), log1p(exp(-1)), .infinity, 0, .nan]) < 1e-7)
    #expect(distance(sigmoid(x).scalars, [0.5, 1 / (1 + exp(1)), 1, 0, .nan]) < 1e-7)
    #expect(distance(logSigmoid([-200, 200]).scalars, [-200, 0]) == 0)
    #expect(distance(tanh(x).scalars, [0, tanh(-1), 1, -1, .nan]) < 1e-7)
    #expect(distance(relu(x).scalars, [0, 0, .infinity, 0, .nan]) == 0)
  }

  @Test func whatHasNoGradientGivesZeros() throws {
    #expect(try gradients(of: { $0[0].floor * 3 }, at: [[1.5, 2]]) == [[0, 0]])
    #expect(try gradients(of: { $0[0].sign }, at: [[1.5, 0]]) == [[0, 0]])
  }
}
