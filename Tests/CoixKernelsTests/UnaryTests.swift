import CoixKernels
import Foundation
import TestSupport
import Testing

/// A unary operation beside its definition in double precision.
struct UnaryCase: CustomTestStringConvertible, Sendable {
  let name: String
  let op: coix_unary_op
  /// The most units in the last place that the kernel may be off.
  let ulps: Double
  var domain: ClosedRange<Float> = -20...20
  let value: @Sendable (Double) -> Double
  let slope: @Sendable (Double) -> Double

  var testDescription: String { name }

  static let all: [UnaryCase] = [
    UnaryCase(name: "negate", op: COIX_NEGATE, ulps: 0, value: { -$0 }, slope: { _ in -1 }),
    UnaryCase(name: "exp", op: COIX_EXP, ulps: 1, domain: -100...88, value: { exp($0) }, slope: { exp($0) }),
    UnaryCase(name: "expm1", op: COIX_EXPM1, ulps: 2, value: { expm1($0) }, slope: { exp($0) }),
    UnaryCase(name: "log", op: COIX_LOG, ulps: 1, domain: 1e-30...100, value: { log($0) }, slope: { 1 / $0 }),
    UnaryCase(
      name: "log1p", op: COIX_LOG1P, ulps: 1, domain: -0.999...50, value: { log1p($0) },
      slope: { 1 / (1 + $0) }),
    UnaryCase(
      name: "sqrt", op: COIX_SQRT, ulps: 0.5, domain: 0.01...100, value: { $0.squareRoot() },
      slope: { 0.5 / $0.squareRoot() }),
    UnaryCase(
      name: "tanh", op: COIX_TANH_OP, ulps: 3, value: { tanh($0) }, slope: { 1 - tanh($0) * tanh($0) }),
    UnaryCase(
      name: "sigmoid", op: COIX_SIGMOID_OP, ulps: 3, domain: -100...20, value: { 1 / (1 + exp(-$0)) },
      slope: { exp(-abs($0)) / ((1 + exp(-abs($0))) * (1 + exp(-abs($0)))) }),
    UnaryCase(
      name: "softplus", op: COIX_SOFTPLUS_OP, ulps: 2, value: { max($0, 0) + log1p(exp(-abs($0))) },
      slope: { 1 / (1 + exp(-$0)) }),
    UnaryCase(name: "relu", op: COIX_RELU_OP, ulps: 0, value: { max($0, 0) }, slope: { $0 > 0 ? 1 : 0 }),
    UnaryCase(name: "abs", op: COIX_ABS, ulps: 0, value: { abs($0) }, slope: { $0 > 0 ? 1 : -1 }),
    UnaryCase(name: "square", op: COIX_SQUARE, ulps: 0.5, value: { $0 * $0 }, slope: { 2 * $0 }),
    UnaryCase(
      name: "reciprocal", op: COIX_RECIPROCAL, ulps: 0.5, domain: 0.1...9, value: { 1 / $0 },
      slope: { -1 / ($0 * $0) }),
    UnaryCase(name: "sin", op: COIX_SIN, ulps: 1, domain: -9e5...9e5, value: { sin($0) }, slope: { cos($0) }),
    UnaryCase(
      name: "cos", op: COIX_COS, ulps: 1, domain: -9e5...9e5, value: { cos($0) }, slope: { -sin($0) }),
    UnaryCase(
      name: "sign", op: COIX_SIGN, ulps: 0, value: { $0 > 0 ? 1 : $0 < 0 ? -1 : $0 }, slope: { _ in 0 }),
    UnaryCase(name: "floor", op: COIX_FLOOR, ulps: 0, value: { floor($0) }, slope: { _ in 0 }),
    UnaryCase(
      name: "loggamma", op: COIX_LOGGAMMA, ulps: 1, domain: 0.01...200, value: { lgamma($0) },
      slope: { digamma($0) }),
    UnaryCase(
      name: "digamma", op: COIX_DIGAMMA, ulps: 1, domain: 0.01...200, value: { digamma($0) },
      slope: { trigamma($0) }),
    UnaryCase(
      name: "normal CDF", op: COIX_NORMAL_CDF, ulps: 0.5, domain: -12...6, value: { normalCDF($0) },
      slope: { exp(-0.5 * $0 * $0) * 0.398_942_280_401_432_7 }),
    UnaryCase(
      name: "log normal CDF", op: COIX_LOG_NORMAL_CDF, ulps: 1, domain: -35...6,
      value: { $0 < 0 ? log(normalCDF($0)) : log1p(-normalCDF(-$0)) },
      slope: { exp(-0.5 * $0 * $0) * 0.398_942_280_401_432_7 / normalCDF($0) }),
  ]
}

/// The standard normal distribution function.
func normalCDF(_ x: Double) -> Double { 0.5 * erfc(-x * 0.5.squareRoot()) }

/// Gamma'(x) / Gamma(x) by recurrence up to 50 and three terms of the asymptotic series.
func digamma(_ x: Double) -> Double {
  var (x, before) = (x, 0.0)
  while x < 50 { (x, before) = (x + 1, before - 1 / x) }
  return before + log(x) - 0.5 / x - 1 / (12 * x * x) + 1 / (120 * x * x * x * x)
}

/// The derivative of digamma, likewise.
func trigamma(_ x: Double) -> Double {
  var (x, before) = (x, 0.0)
  while x < 50 { (x, before) = (x + 1, before + 1 / (x * x)) }
  return before + 1 / x + 0.5 / (x * x) + 1 / (6 * x * x * x) - 1 / (30 * x * x * x * x * x)
}

func unary(_ op: coix_unary_op, _ x: [Float], team: Int32 = 1) -> [Float] {
  output(x.count) { coix_unary(op, x, $0, x.count, team) }
}

@Suite struct UnaryTests {
  @Test(arguments: UnaryCase.all) func valuesAreCloseInEverySize(_ test: UnaryCase) {
    for size in oddSizes + [4_000] {
      var random = SplitMix(seed: UInt64(size))
      let x = random.floats(size, in: test.domain)
      for (x, y) in zip(x, unary(test.op, x)) {
        #expect(ulps(y, test.value(Double(x))) <= test.ulps, "\(test.name)(\(x)) = \(y)")
      }
    }
  }

  @Test(arguments: UnaryCase.all) func slopesAreClose(_ test: UnaryCase) {
    for size in oddSizes {
      var random = SplitMix(seed: UInt64(size) + 7)
      let (x, dy) = (random.floats(size, in: test.domain), random.floats(size))
      let y = unary(test.op, x)
      let got = output(size) { coix_unary_backward(test.op, x, y, dy, $0, size, 1) }
      // 2e-6 of the derivative, and of 1 where it is formed from 1 - y.
      #expect(distance(got, zip(x, dy).map { Double($1) * test.slope(Double($0)) }) < 2e-6, "\(test.name)")
    }
  }

  @Test(arguments: UnaryCase.all) func bitsDependOnTheNumberAlone(_ test: UnaryCase) {
    var random = SplitMix(seed: 3)
    let x = random.floats(33, in: test.domain)
    let together = unary(test.op, x)
    #expect(sameBits(together, x.map { unary(test.op, [$0])[0] }))
    var inPlace = x
    inPlace.withUnsafeMutableBufferPointer { coix_unary(test.op, $0.baseAddress, $0.baseAddress, 33, 1) }
    #expect(sameBits(inPlace, together))
  }

  @Test(arguments: [COIX_EXP, COIX_LOGGAMMA]) func teamsChangeNoBit(_ op: coix_unary_op) {
    var random = SplitMix(seed: 4)
    let x = random.floats(300_001, in: 0.1...20)
    let alone = unary(op, x)
    for team: Int32 in [2, 3] { #expect(sameBits(unary(op, x, team: team), alone)) }
  }

  /// Edges: (operation, argument, value).
  static let edges: [(coix_unary_op, Float, Float)] = [
    (COIX_EXP, -.infinity, 0), (COIX_EXP, .infinity, .infinity), (COIX_EXP, 0, 1), (COIX_EXP, .nan, .nan),
    (COIX_EXP, 89, .infinity), (COIX_EXP, 88.722_83, Float(exp(Double(88.722_83 as Float)))),
    (COIX_EXP, -104, 0),
    (COIX_EXP, -103, .leastNonzeroMagnitude), (COIX_EXPM1, -.infinity, -1),
    (COIX_EXPM1, .infinity, .infinity),
    (COIX_EXPM1, 1e-30, 1e-30), (COIX_EXPM1, .nan, .nan), (COIX_LOG, 0, -.infinity), (COIX_LOG, -1, .nan),
    (COIX_LOG, .infinity, .infinity), (COIX_LOG, .leastNonzeroMagnitude, -103.278_93), (COIX_LOG, 1, 0),
    (COIX_LOG, .nan, .nan), (COIX_LOG1P, -1, -.infinity), (COIX_LOG1P, -2, .nan), (COIX_LOG1P, 0, 0),
    (COIX_LOG1P, .infinity, .infinity), (COIX_LOG1P, -1e-25, -1e-25), (COIX_LOG1P, .nan, .nan),
    (COIX_SQRT, -1, .nan), (COIX_SQRT, .infinity, .infinity), (COIX_TANH_OP, .infinity, 1),
    (COIX_TANH_OP, -.infinity, -1), (COIX_TANH_OP, 1e-20, 1e-20), (COIX_TANH_OP, .nan, .nan),
    (COIX_SIGMOID_OP, .infinity, 1), (COIX_SIGMOID_OP, -.infinity, 0),
    (COIX_SIGMOID_OP, -80, 1.804_851_4e-35),
    (COIX_SIGMOID_OP, .nan, .nan), (COIX_SOFTPLUS_OP, -.infinity, 0), (COIX_SOFTPLUS_OP, 1e30, 1e30),
    (COIX_SOFTPLUS_OP, .infinity, .infinity), (COIX_SOFTPLUS_OP, -80, 1.804_851_4e-35),
    (COIX_SOFTPLUS_OP, .nan, .nan), (COIX_RELU_OP, .nan, .nan), (COIX_RELU_OP, -1, 0),
    (COIX_RECIPROCAL, 0, .infinity), (COIX_SIN, .infinity, .nan), (COIX_COS, .nan, .nan), (COIX_COS, 0, 1),
    (COIX_SIGN, .nan, .nan), (COIX_SIGN, 0, 0), (COIX_LOGGAMMA, 1, 0), (COIX_LOGGAMMA, 2, 0),
    (COIX_LOGGAMMA, 0, .infinity), (COIX_LOGGAMMA, -3, .infinity), (COIX_LOGGAMMA, -0.5, 1.265_512_1),
    (COIX_LOGGAMMA, .infinity, .infinity), (COIX_LOGGAMMA, .nan, .nan), (COIX_DIGAMMA, 1, -0.577_215_67),
    (COIX_DIGAMMA, 0, -.infinity), (COIX_DIGAMMA, -0.0, .infinity), (COIX_DIGAMMA, -1, .nan),
    (COIX_DIGAMMA, -0.5, 0.036_489_975), (COIX_DIGAMMA, .nan, .nan),
    (COIX_ERFINV, 1, .infinity), (COIX_ERFINV, -1, -.infinity), (COIX_ERFINV, 0, 0), (COIX_ERFINV, 1.5, .nan),
    (COIX_ERFINV, 0.5, 0.476_936_28), (COIX_ERFINV, .nan, .nan), (COIX_NORMAL_CDF, -.infinity, 0),
    (COIX_NORMAL_CDF, .infinity, 1), (COIX_NORMAL_CDF, .nan, .nan), (COIX_LOG_NORMAL_CDF, .infinity, 0),
    (COIX_LOG_NORMAL_CDF, -.infinity, -.infinity), (COIX_LOG_NORMAL_CDF, -100, -5_005.524),
    (COIX_LOG_NORMAL_CDF, -1e10, -5e19), (COIX_LOG_NORMAL_CDF, .nan, .nan),
    (COIX_NORMAL_QUANTILE, 0, -.infinity), (COIX_NORMAL_QUANTILE, 1, .infinity),
    (COIX_NORMAL_QUANTILE, -0.1, .nan), (COIX_NORMAL_QUANTILE, 1.1, .nan), (COIX_NORMAL_QUANTILE, .nan, .nan),
    (COIX_NORMAL_QUANTILE, 0.975, 1.959_964_4), (COIX_NORMAL_QUANTILE, 0.02, -2.053_748_9),
    (COIX_NORMAL_QUANTILE, 1e-10, -6.361_341), (COIX_NORMAL_QUANTILE, 1e-38, -12.962_36),
  ]

  @Test(arguments: edges) func edgesAreRight(op: coix_unary_op, x: Float, want: Float) {
    let y = unary(op, [x])[0]
    #expect(ulps(y, Double(want)) <= 2, "operation \(op.rawValue) at \(x): \(y), not \(want)")
  }

  @Test func huge() {
    let x: [Float] = [1e7, -3e8, 1e20, 3e38]
    for (x, y) in zip(x, unary(COIX_SIN, x)) { #expect(ulps(y, sin(Double(x))) <= 1) }
    for (x, y) in zip(x, unary(COIX_COS, x)) { #expect(ulps(y, cos(Double(x))) <= 1) }
  }

  @Test func inverseErrorFunctionInvertsIt() {
    var random = SplitMix(seed: 11)
    let x = random.floats(2_000, in: -0.9999...0.9999)
    let y = unary(COIX_ERFINV, x)
    #expect(zip(x, y).allSatisfy { abs(erf(Double($1)) - Double($0)) < 1e-7 })
    let dy = [Float](repeating: 1, count: x.count)
    let slope = output(x.count) { coix_unary_backward(COIX_ERFINV, x, y, dy, $0, x.count, 1) }
    // The derivative is the reciprocal of erf's; 60 ulp in y become 2e-5 relative near the ends.
    for (y, slope) in zip(y, slope) {
      let want = Double.pi.squareRoot() / 2 * exp(Double(y) * Double(y))
      #expect(abs(Double(slope) - want) < 3e-6 * want)
    }
  }

  @Test func kinksHaveSlopeZero() {
    let (zero, one): ([Float], [Float]) = ([0], [1])
    for op in [COIX_RELU_OP, COIX_ABS, COIX_SIGN, COIX_FLOOR] {
      #expect(output(1) { coix_unary_backward(op, zero, zero, one, $0, 1, 1) } == [0])
    }
  }
}
