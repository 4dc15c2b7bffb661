import CoixKernels
import Foundation
import TestSupport
import Testing

@Suite struct ReductionTests {
  /// Contiguous and vertical reductions, with few and many terms, and more than one block.
  static let shapes = [
    (1, 1, 1), (1, 5, 1), (3, 100, 1), (2, 10_001, 1), (4, 3, 17), (2, 100, 33), (1, 2, 256), (5, 1, 16),
    (1, 64, 15),
  ]
  static let operations = [COIX_SUM, COIX_MAX, COIX_MIN, COIX_LOGSUMEXP]

  /// The columns x[o, ..., i] in the order of the outputs.
  static func columns(_ x: [Float], _ outer: Int, _ n: Int, _ inner: Int) -> [[Double]] {
    (0..<outer * inner).map { at in
      (0..<n).map { Double(x[(at / inner * n + $0) * inner + at % inner]) }
    }
  }

  static func reference(_ op: coix_reduction, _ x: [Double]) -> Double {
    if x.contains(where: \.isNaN) { return .nan }
    switch op {
    case COIX_SUM: return x.reduce(0, +)
    case COIX_MAX: return x.max() ?? -.infinity
    case COIX_MIN: return x.min() ?? .infinity
    default:
      let m = x.max() ?? -.infinity
      return m.isInfinite ? m : m + log(x.reduce(0) { $0 + exp($1 - m) })
    }
  }

  static func reduce(
    _ op: coix_reduction, _ x: [Float], _ outer: Int, _ n: Int, _ inner: Int, team: Int32 = 1
  ) -> [Float] {
    output(outer * inner) { coix_reduce(op, x, $0, outer, n, inner, team) }
  }

  @Test(arguments: shapes) func reductionsArePlainLoops(outer: Int, n: Int, inner: Int) {
    var random = SplitMix(seed: 20)
    let clean = random.floats(outer * n * inner, in: -5...5)
    for bad in [0, Float.nan, .infinity, -.infinity] {
      var x = clean
      x[x.count / 2] = bad
      for op in Self.operations {
        let want = Self.columns(x, outer, n, inner).map { Self.reference(op, $0) }
        #expect(distance(Self.reduce(op, x, outer, n, inner), want) < 2e-6, "\(op.rawValue) with \(bad)")
      }
    }
  }

  @Test func impossibleWeights() {
    for (outer, n, inner) in Self.shapes {
      let x = [Float](repeating: -.infinity, count: outer * n * inner)
      #expect(Self.reduce(COIX_LOGSUMEXP, x, outer, n, inner).allSatisfy { $0 == -.infinity })
    }
    #expect(Self.reduce(COIX_LOGSUMEXP, [1000, 1000], 1, 2, 1) == [1000.693_15])
  }

  @Test func emptyReductions() {
    #expect(Self.reduce(COIX_SUM, [], 1, 0, 2) == [0, 0])
    #expect(Self.reduce(COIX_MAX, [], 1, 0, 1) == [-.infinity])
    #expect(Self.reduce(COIX_MIN, [], 1, 0, 1) == [.infinity])
    #expect(Self.reduce(COIX_LOGSUMEXP, [], 1, 0, 1) == [-.infinity])
  }

  /// A million tenths: in float one after the other they would be 1% off.
  @Test func longSumsKeepTheirDigits() {
    let x = [Float](repeating: 0.1, count: 1_000_000)
    #expect(Self.reduce(COIX_SUM, x, 1, x.count, 1) == [100_000])
    #expect(Self.reduce(COIX_SUM, x, 1, x.count / 16, 16).allSatisfy { $0 == 6_250 })
  }

  @Test(arguments: [(1, 510_003, 1), (51, 10_000, 1), (3, 100, 1_700)])
  func teamsChangeNoBit(outer: Int, n: Int, inner: Int) {
    var random = SplitMix(seed: 21)
    let x = random.floats(outer * n * inner)
    for team: Int32 in [2, 3] {
      for op in Self.operations {
        let alone = Self.reduce(op, x, outer, n, inner)
        #expect(sameBits(Self.reduce(op, x, outer, n, inner, team: team), alone))
      }
      let alone = output(x.count) { coix_softmax(x, $0, outer, n, inner, 0, 1) }
      #expect(sameBits(output(x.count) { coix_softmax(x, $0, outer, n, inner, 0, team) }, alone))
    }
  }

  @Test(arguments: shapes) func softmaxIsThePlainLoop(outer: Int, n: Int, inner: Int) {
    var random = SplitMix(seed: 22)
    let x = random.floats(outer * n * inner, in: -5...5)
    let sums = Self.columns(x, outer, n, inner).map { Self.reference(COIX_LOGSUMEXP, $0) }
    let logarithms = x.indices.map { Double(x[$0]) - sums[$0 / (n * inner) * inner + $0 % inner] }
    let logSoftmax = output(x.count) { coix_softmax(x, $0, outer, n, inner, 1, 1) }
    let softmax = output(x.count) { coix_softmax(x, $0, outer, n, inner, 0, 1) }
    #expect(distance(logSoftmax, logarithms) < 2e-6)
    #expect(distance(softmax, logarithms.map { exp($0) }) < 1e-6)
    #expect(zip(softmax, logarithms).allSatisfy { abs(Double($0) / exp($1) - 1) < 4e-6 })
  }

  /// The gradient of log-sum-exp of parts of a long row, given the greatest number and the sum of all.
  @Test func logSumExpBackwardInParts() {
    let n = 20_001
    var random = SplitMix(seed: 31)
    var x = random.floats(n)
    x[7_000] = -.infinity
    let gradient: [Float] = [0.7]
    let whole = output(n) { coix_logsumexp_backward(x, gradient, $0, 1, n, 1, 1) }
    let (size, greatest) = (coix_row_block(n), x.reduce(-.infinity) { max($0, $1) })
    let blocks = (n + size - 1) / size
    var sums = [Double](repeating: 0, count: blocks)
    coix_row_block_sums_exp(x, &sums, greatest, n, 0, blocks, 1)
    let sum = sums.reduce(0, +)
    for team: Int32 in [1, 2] {
      let parts = output(n) { out in
        x.withUnsafeBufferPointer { x in
          guard let x = x.baseAddress else { return }
          for (first, end) in [(0, 6_001), (6_001, 6_001), (6_001, n)] {
            coix_logsumexp_backward_part(x + first, gradient, out + first, end - first, greatest, sum, team)
          }
        }
      }
      #expect(sameBits(parts, whole))
    }
  }

  @Test func softmaxOfAnImpossibleParticleIsZero() {
    let softmax = output(3) { coix_softmax([-.infinity, 2, 2], $0, 1, 3, 1, 0, 1) }
    #expect(softmax == [0, 0.5, 0.5])
  }

  /// As a plain loop has it, for columns that fill vectors and some that don't, with ties and NaNs.
  @Test(arguments: [1, 5, 16, 37], [1, 2, 9])
  func argmaxOfColumns(_ inner: Int, _ n: Int) {
    var random = SplitMix(seed: 71)
    let outer = 3
    let x = (0..<outer * n * inner).map { _ -> Float in
      Int.random(in: 0..<8, using: &random) == 0 ? .nan : Float(Int.random(in: -2..<3, using: &random))
    }
    let expected = (0..<outer * inner).map { column -> Float in
      let (o, i) = column.quotientAndRemainder(dividingBy: inner)
      var best = 0
      for k in 1..<max(n, 1) {
        let (candidate, leader) = (x[(o * n + k) * inner + i], x[(o * n + best) * inner + i])
        if candidate > leader || (candidate.isNaN && !leader.isNaN) { best = k }
      }
      return Float(best)
    }
    #expect(output(outer * inner) { coix_argmax(x, $0, outer, n, inner) } == expected)
  }

  @Test func argmaxTakesTheFirst() {
    // Three columns of four: a tie, a NaN, ascending.
    let x: [Float] = [1, 5, 0, 3, .nan, 1, 3, 9, 2, 0, .nan, 3]
    #expect(output(3) { coix_argmax(x, $0, 1, 4, 3) } == [1, 1, 3])
  }

  @Test(arguments: shapes) func runningSumsHaveTheirStatedError(outer: Int, n: Int, inner: Int) {
    var random = SplitMix(seed: 23)
    let x = random.floats(outer * n * inner)
    var want = x.map(Double.init)
    for at in want.indices where at / inner % n > 0 { want[at] += want[at - inner] }
    #expect(distance(output(x.count) { coix_cumsum(x, $0, outer, n, inner, 0) }, want) < 2e-4)
  }
}
