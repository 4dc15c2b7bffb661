import CoixKernels
import Foundation
import TestSupport
import Testing

/// The implicit derivative of gamma draws against its definition: -(dP/da) / p, by differences of the
/// distribution function.
@Suite struct GammaSlopeTests {
  /// The regularised incomplete gamma function, lower (or, at its tail, minus the upper one), in double: the
  /// power series, or Simpson's rule over the density where that would cancel.
  private func distribution(_ a: Double, _ x: Double, isTail: Bool) -> Double {
    func density(_ t: Double) -> Double { exp((a - 1) * log(t) - t - lgamma(a)) }
    if !isTail {
      var (term, sum, n) = (1 / a, 1 / a, a)
      while term > 1e-18 * sum {
        n += 1
        term *= x / n
        sum += term
      }
      return exp(a * log(x) - x - lgamma(a)) * sum
    }
    let (steps, length) = (4_000, 45 + 6 * a.squareRoot())
    let h = length / Double(steps)
    let sum = (1..<steps).reduce(density(x) + density(x + length)) {
      $0 + density(x + Double($1) * h) * ($1 % 2 == 1 ? 4 : 2)
    }
    return -sum * h / 3
  }

  private func slope(_ a: Double, _ x: Double) -> Double {
    let h = 1e-3 * min(a, a.squareRoot())
    let isTail = x > a + 1
    func distribution(_ a: Double) -> Double { self.distribution(a, x, isTail: isTail) }
    let near = distribution(a + h) - distribution(a - h)
    let far = distribution(a + 2 * h) - distribution(a - 2 * h)
    return -(8 * near - far) / (12 * h) / exp((a - 1) * log(x) - x - lgamma(a))
  }

  private func found(_ alpha: [Float], _ x: [Float], logarithmic: Int32 = 0) -> [Float] {
    let ones = [Float](repeating: 1, count: x.count)
    return output(x.count) { coix_gamma_slope(alpha, 0, 1, x, logarithmic, ones, $0, 1, x.count) }
  }

  @Test(arguments: [0.01, 0.3, 1, 2.5, 20, 300, 990, 1_010, 20_000] as [Float])
  func agreesWithDifferences(_ alpha: Float) {
    // Within six standard deviations, and from the tails.
    let deviation = alpha.squareRoot()
    let places =
      stride(from: Float(-4), through: 6, by: 0.5).map { alpha + $0 * deviation } + [1e-4 * alpha, 3]
    let x = places.filter { $0 > 0 && abs($0 - alpha) < 7 * deviation + 4 }
    #expect(x.count > 10)
    let slopes = found(x.map { _ in alpha }, x)
    for (x, slope) in zip(x, slopes) {
      let expected = self.slope(Double(alpha), Double(x))
      #expect(
        abs(Double(slope) - expected) < 2e-5 * abs(expected), "α = \(alpha), x = \(x): \(slope), \(expected)")
    }
    // In log space: divided by x.
    let logarithmic = found(x.map { _ in alpha }, x.map { log($0) }, logarithmic: 1)
    for ((x, slope), one) in zip(zip(x, slopes), logarithmic) {
      #expect(abs(one - slope / x) < 2e-4 * abs(slope / x))
    }
  }

  @Test func edges() {
    let alpha: [Float] = [2, 2, -1, 0, .nan, 2, 1e-30]
    let x: [Float] = [0, -1, 1, 1, 1, .nan, 1e-38]
    let slopes = found(alpha, x)
    #expect(slopes[0] == 0)
    #expect(slopes[1...5].allSatisfy { $0.isNaN })
    #expect(slopes[6] >= 0)
    // Without a gradient nothing comes of NaN either.
    let zeros = [Float](repeating: 0, count: x.count)
    #expect(output(x.count) { coix_gamma_slope(alpha, 0, 1, x, 0, zeros, $0, 1, x.count) } == zeros)
    // Where the number underflows: as at the least normal one.
    #expect(
      found([0.02, 0.02], [-500, -87.336_55], logarithmic: 1).map(\.bitPattern).dropFirst().count == 1)
    let floor = found([0.02, 0.02], [-500, -1_000], logarithmic: 1)
    #expect(floor[0] == floor[1] && floor[0] > 0)
  }

  @Test func strides() {
    let x: [Float] = [0.5, 1, 1.5, 2, 2.5, 3]
    let gradient: [Float] = [1, -2, 3, 0.5, 1, 1]
    let perElement = output(6) { coix_gamma_slope([2, 3], 1, 0, x, 0, gradient, $0, 2, 3) }
    let perRow = output(6) { coix_gamma_slope([2, 3, 4], 0, 1, x, 0, gradient, $0, 2, 3) }
    let slopes = (found([2, 2, 2, 3, 3, 3], x), found([2, 3, 4, 2, 3, 4], x))
    #expect(distance(perElement, zip(slopes.0, gradient).map { Double($0 * $1) }) < 1e-6)
    #expect(distance(perRow, zip(slopes.1, gradient).map { Double($0 * $1) }) < 1e-6)
  }
}
