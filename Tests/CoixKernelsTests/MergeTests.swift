import CoixKernels
import Foundation
import TestSupport
import Testing

@Suite struct MergeTests {
  @Test func sumsInDouble() {
    for size in oddSizes {
      var random = SplitMix(seed: 80)
      let x = random.floats(size)
      let sum = x.reduce(0) { $0 + Double($1) }
      #expect(abs(coix_sum_double(x, size) - sum) < 1e-13 * Double(size))

      var total = [Double](repeating: 0.25, count: size)
      coix_accumulate_double(&total, x, size)
      #expect(total == x.map { 0.25 + Double($0) })
    }
  }

  @Test func chunksAreMergedInTheirOrder() {
    for (size, partCount) in [(1, 1), (17, 3), (5_000, 60)] {
      var random = SplitMix(seed: 81)
      // Every third part is in single precision.
      let numbers = random.floats(size * partCount)
      let sums = numbers.map { Double($0) * 1e-3 }
      func isSingle(_ part: Int) -> Bool { part % 3 == 2 }
      let want = (0..<size).map { at in
        let terms = (0..<partCount).map { part in
          isSingle(part) ? Double(numbers[part * size + at]) : sums[part * size + at]
        }
        return Float(terms.dropFirst().reduce(terms[0], +))
      }
      numbers.withUnsafeBufferPointer { numbers in
        sums.withUnsafeBufferPointer { sums in
          let parts = (0..<partCount).map { part in
            coix_part(
              sums: isSingle(part) ? nil : sums.baseAddress.map { $0 + part * size },
              numbers: numbers.baseAddress.map { $0 + part * size })
          }
          for team: Int32 in [1, 2, 3] {
            #expect(sameBits(output(size) { coix_merge_double(parts, partCount, $0, size, team) }, want))
          }
        }
      }
    }
    #expect(output(2) { coix_merge_double([], 0, $0, 2, 1) } == [0, 0])
  }

  @Test(arguments: [(1, 1), (17, 1), (30_000, 1), (50, 3), (1, 16), (3_000, 5), (70_000, 3), (200, 700)])
  func weightMoments(n: Int, columns: Int) {
    var random = SplitMix(seed: 82)
    let x = random.floats(n * columns, in: -9...3)
    var greatest = [Double](repeating: 0, count: columns)
    var (sum, squares) = (greatest, greatest)
    coix_weight_moments(x, &greatest, &sum, &squares, n, columns, 0, 1)
    for team: Int32 in [2, 3, 16] {
      var (g, s, q) = (greatest, greatest, greatest)
      coix_weight_moments(x, &g, &s, &q, n, columns, 0, team)
      #expect(g == greatest && s == sum && q == squares, "team \(team)")
    }
    for c in 0..<columns {
      let column = (0..<n).map { Double(x[$0 * columns + c]) }
      let m = column.max() ?? 0
      #expect(greatest[c] == m)
      #expect(abs(sum[c] / column.reduce(0) { $0 + exp($1 - m) } - 1) < 1e-6)
      #expect(abs(squares[c] / column.reduce(0) { $0 + exp(2 * ($1 - m)) } - 1) < 1e-6)
    }
  }

  /// Columns of -inf and NaN don't touch their neighbours.
  @Test(arguments: [1, 3, 40, 5_000]) func momentsOfUnusualColumns(n: Int) {
    let columns = 20
    var x = [Float](repeating: 0, count: n * columns)
    for row in 0..<n {
      x[row * columns + 1] = -.infinity
      if row > 0 { x[row * columns + 2] = -.infinity }
      if row == n - 1 { x[row * columns + 17] = .nan }
      if row == n / 2 { x[row * columns + 18] = .infinity }
    }
    var greatest = [Double](repeating: 7, count: columns)
    var (sum, squares) = (greatest, greatest)
    coix_weight_moments(x, &greatest, &sum, &squares, n, columns, 0, 1)
    for c in 0..<columns {
      switch c {
      case 1: #expect(greatest[c] == -.infinity && sum[c] == 0 && squares[c] == 0)
      case 2: #expect(greatest[c] == 0 && sum[c] == 1 && squares[c] == 1)
      case 17: #expect(sum[c].isNaN)
      case 18: #expect(greatest[c] == .infinity)
      default: #expect(greatest[c] == 0 && sum[c] == Double(n) && squares[c] == Double(n))
      }
    }
  }
}
