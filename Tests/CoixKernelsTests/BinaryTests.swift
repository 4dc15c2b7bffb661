import CoixKernels
import Foundation
import TestSupport
import Testing

/// An operand that varies over both axes, over one of them, or over none.
enum Layout: CaseIterable, Sendable {
  case full
  case perOuter
  case perRow
  case constant

  func strides(rows: Int) -> (outer: Int, row: Int) {
    switch self {
    case .full: (rows, 1)
    case .perOuter: (1, 0)
    case .perRow: (0, 1)
    case .constant: (0, 0)
    }
  }
}

@Suite struct BinaryTests {
  static let operations: [(coix_binary_op, @Sendable (Double, Double) -> Double)] = [
    (COIX_ADD, { $0 + $1 }), (COIX_SUBTRACT, { $0 - $1 }), (COIX_MULTIPLY, { $0 * $1 }),
    (COIX_DIVIDE, { $0 / $1 }), (COIX_POWER, { pow($0, $1) }), (COIX_MAXIMUM, { max($0, $1) }),
    (COIX_MINIMUM, { min($0, $1) }), (COIX_LESS, { $0 < $1 ? 1 : 0 }),
    (COIX_LESS_EQUAL, { $0 <= $1 ? 1 : 0 }),
    (COIX_GREATER, { $0 > $1 ? 1 : 0 }), (COIX_GREATER_EQUAL, { $0 >= $1 ? 1 : 0 }),
    (COIX_EQUAL, { $0 == $1 ? 1 : 0 }), (COIX_NOT_EQUAL, { $0 != $1 ? 1 : 0 }),
  ]
  static let extents = [(1, 1), (1, 100), (3, 17), (5, 16), (7, 1), (2, 33)]

  @Test(arguments: Layout.allCases, Layout.allCases) func everyLayoutIsThePlainLoop(a: Layout, b: Layout) {
    for (outer, rows) in Self.extents {
      var random = SplitMix(seed: 9)
      // Few different numbers, so that some are equal.
      let x = random.floats(outer * rows, in: 0...3).map { ($0 * 2).rounded() / 2 }
      let y = random.floats(outer * rows, in: -2...2).map { $0.rounded() }
      let (i, j) = (a.strides(rows: rows), b.strides(rows: rows))
      for (op, definition) in Self.operations {
        let got = output(outer * rows) {
          coix_binary(op, x, i.outer, i.row, y, j.outer, j.row, $0, outer, rows, 1)
        }
        let want = (0..<outer * rows).map {
          definition(
            Double(x[$0 / rows * i.outer + $0 % rows * i.row]),
            Double(y[$0 / rows * j.outer + $0 % rows * j.row]))
        }
        #expect(distance(got, want) < 1e-6, "operation \(op.rawValue), \(outer) x \(rows)")
      }
    }
  }

  @Test func selectFollowsTheCondition() {
    for (outer, rows) in Self.extents {
      for layout in Layout.allCases {
        var random = SplitMix(seed: 10)
        let condition: [Float] = random.floats(outer * rows).map { $0 > 0 ? 1 : 0 }
        let (a, b) = (random.floats(outer * rows), random.floats(outer * rows))
        let s = layout.strides(rows: rows)
        let got = output(outer * rows) {
          coix_select(condition, s.outer, s.row, a, rows, 1, b, s.outer, s.row, $0, outer, rows, 1)
        }
        for i in 0..<outer * rows {
          let at = i / rows * s.outer + i % rows * s.row
          #expect(got[i] == (condition[at] != 0 ? a[i] : b[at]))
        }
      }
    }
  }

  @Test func notANumberAndInfinity() {
    func apply(_ op: coix_binary_op, _ a: Float, _ b: Float) -> Float {
      output(1) { coix_binary(op, [a], 0, 1, [b], 0, 1, $0, 1, 1, 1) }[0]
    }
    for op in [COIX_MAXIMUM, COIX_MINIMUM] {
      #expect(apply(op, .nan, 1).isNaN)
      #expect(apply(op, 1, .nan).isNaN)
    }
    #expect(apply(COIX_EQUAL, .nan, .nan) == 0)
    #expect(apply(COIX_NOT_EQUAL, .nan, .nan) == 1)
    #expect(apply(COIX_POWER, 0, 0) == 1)
    #expect(apply(COIX_POWER, -2, 3) == -8)
    #expect(apply(COIX_POWER, -2, 0.5).isNaN)
    #expect(apply(COIX_DIVIDE, 1, 0) == .infinity)
  }

  @Test func teamsChangeNoBit() {
    var random = SplitMix(seed: 12)
    let (outer, rows) = (3, 120_003)
    let (a, b) = (random.floats(outer * rows), random.floats(outer * rows))
    for layout in Layout.allCases {
      let s = layout.strides(rows: rows)
      let run = { (team: Int32) in
        output(outer * rows) {
          coix_binary(COIX_DIVIDE, a, rows, 1, b, s.outer, s.row, $0, outer, rows, team)
        }
      }
      let alone = run(1)
      #expect(sameBits(run(2), alone))
      #expect(sameBits(run(3), alone))
    }
  }

  @Test func accumulatingAndFilling() {
    for size in oddSizes {
      var random = SplitMix(seed: 13)
      let x = random.floats(size)
      let sum = output(size) { out in
        coix_fill(out, 0.5, size, 1)
        coix_accumulate(out, x, size, 1)
      }
      #expect(distance(sum, x.map { 0.5 + Double($0) }) < 5e-7)
    }
  }

  @Test func theFirstBadNumberIsFound() {
    for size in oddSizes {
      var x = [Float](repeating: 1, count: size)
      #expect(coix_first_above(x, size, .greatestFiniteMagnitude) == -1)
      #expect(coix_first_above(x, size, 1) == -1)
      #expect(coix_first_above(x, size, Float(1).nextDown) == 0)
      x[size - 1] = -.infinity
      #expect(coix_first_above(x, size, .greatestFiniteMagnitude) == Int64(size - 1))
      x[size / 2] = .nan
      #expect(coix_first_above(x, size, .greatestFiniteMagnitude) == Int64(size / 2))
    }
    #expect(coix_first_above([], 0, 1) == -1)
  }
}
