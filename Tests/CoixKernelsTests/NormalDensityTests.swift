import CoixKernels
import Foundation
import TestSupport
import Testing

/// An operand of the normal density: its floats and its strides over elements and rows.
struct DensityOperand {
  let data: [Float]
  let element: Int
  let row: Int

  /// layout 0: one value; 1: one a row; 2: one an element; 3: all different.
  init(layout: Int, count: Int, rows: Int, in range: ClosedRange<Float>, using random: inout SplitMix) {
    data = random.floats(count * rows + rows, in: range)
    (element, row) = [(0, 0), (0, 1), (1, 0), (rows, 1)][layout]
  }

  func at(_ e: Int, _ r: Int) -> Double { Double(data[e * element + r * row]) }
}

@Suite struct NormalDensityTests {
  /// (groups, elements, rows); 100 elements are more than one block of constants.
  static let extents = [(1, 1, 1), (1, 2, 48), (3, 5, 33), (2, 100, 17), (1, 3, 16)]

  @Test(arguments: 0..<4, 0..<4) func everyLayoutIsThePlainLoop(xLayout: Int, locLayout: Int) {
    for (groups, elements, rows) in Self.extents {
      for scaleLayout in 0..<4 {
        var random = SplitMix(seed: 30)
        let count = groups * elements
        let x = DensityOperand(layout: xLayout, count: count, rows: rows, in: -2...2, using: &random)
        let loc = DensityOperand(layout: locLayout, count: count, rows: rows, in: -2...2, using: &random)
        let scale = DensityOperand(layout: scaleLayout, count: count, rows: rows, in: 0.3...2, using: &random)
        let g = random.floats(groups * rows)

        var want = [Double](repeating: 0, count: groups * rows)
        var wantX = [Double](repeating: 0, count: count * rows)
        var wantScale = wantX
        for e in 0..<count {
          for r in 0..<rows {
            let (s, out) = (scale.at(e, r), e / elements * rows + r)
            let z = (x.at(e, r) - loc.at(e, r)) / s
            want[out] -= 0.5 * z * z + log((2 * Double.pi).squareRoot() * s)
            wantX[e * rows + r] = -Double(g[out]) * z / s
            wantScale[e * rows + r] = Double(g[out]) * (z * z - 1) / s
          }
        }

        let density = output(groups * rows) {
          coix_normal_log_density(
            x.data, x.element, x.row, loc.data, loc.element, loc.row, scale.data, scale.element, scale.row,
            $0, groups, elements, rows)
        }
        #expect(distance(density, want) < 2e-6)

        func gradient(_ dx: Bool, _ dloc: Bool, _ dscale: Bool) -> [Float] {
          output(count * rows) { out in
            coix_normal_log_density_backward(
              g, x.data, x.element, x.row, loc.data, loc.element, loc.row,
              scale.data, scale.element, scale.row,
              dx ? out : nil, dloc ? out : nil, dscale ? out : nil, groups, elements, rows)
          }
        }
        #expect(distance(gradient(true, false, false), wantX) < 2e-6)
        #expect(distance(gradient(false, true, false), wantX.map { -$0 }) < 2e-6)
        #expect(distance(gradient(false, false, true), wantScale) < 2e-6)
      }
    }
  }

  @Test func noElementsHaveDensityOne() {
    let out = output(20) { coix_normal_log_density([0], 0, 0, [0], 0, 0, [1], 0, 0, $0, 1, 0, 20) }
    #expect(out == [Float](repeating: 0, count: 20))
  }

  @Test func badNumbersStayInTheirRow() {
    let x: [Float] = [0, .infinity, .nan, 1]
    let out = output(4) { coix_normal_log_density(x, 4, 1, [0], 0, 0, [1], 0, 0, $0, 1, 1, 4) }
    #expect(out[0] == -0.918_938_5)
    #expect(out[1] == -.infinity)
    #expect(out[2] == -.infinity)  // a value outside of the support
    #expect(out[3] == -1.418_938_5)
    // A scale of nothing or less is no density.
    let bad = output(1) { coix_normal_log_density([0], 1, 1, [0], 0, 0, [-1], 0, 0, $0, 1, 1, 1) }
    #expect(bad[0].isNaN)
  }
}
