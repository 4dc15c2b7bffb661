import CoixKernels
import TestSupport
import Testing

/// Kernels that move numbers: copies, positions, and sums at positions.
@Suite struct CopyTests {
  @Test(arguments: [0, 1, 2, 5]) func copiesWithStrides(stride: Int) {
    for count in oddSizes {
      for (outer, gap) in [(1, 0), (3, 0), (4, 2)] {
        var random = SplitMix(seed: 70)
        let sourceStep = count * max(stride, 1) + 1
        let source = random.floats(outer * sourceStep)
        let step = count + gap
        let copied = output(outer * step) { out in
          coix_fill(out, -1, outer * step, 1)
          coix_copy(source, sourceStep, stride, out, step, outer, count)
        }
        let expected = (0..<outer).flatMap { row -> [Float] in
          let first = row * sourceStep
          return (0..<step).map { place -> Float in place < count ? source[first + place * stride] : -1 }
        }
        #expect(sameBits(copied, expected))
      }
    }
  }

  /// One row for all, and nothing.
  @Test func copiesOfOneRowAndOfNothing() {
    let repeated = output(6) { coix_copy([1, 2], 0, 1, $0, 2, 3, 2) }
    #expect(repeated == [1, 2, 1, 2, 1, 2])
    for stride in [0, 1, 2] { _ = output(0) { coix_copy([], 0, stride, $0, 0, 3, 0) } }
    _ = output(0) { coix_copy([1], 1, 1, $0, 1, 0, 1) }
  }

  /// Numbers of any kind are copied bit for bit.
  @Test func copiesOfStrangeNumbers() {
    let strange: [Float] = [-0.0, .nan, -.infinity, Float(bitPattern: 0x7fa0_0001), 1e-45]
    for stride in [0, 1] {
      let copied = output(5) { coix_copy(strange, 0, stride, $0, 0, 1, 5) }
      #expect(sameBits(copied, strange.indices.map { strange[$0 * stride] }))
    }
  }

  @Test(arguments: oddSizes) func zeros(count: Int) {
    var x = [Float](repeating: 0, count: count)
    #expect(coix_is_zero(x, count) == 1)
    #expect(coix_is_zero(x, 0) == 1)
    for number: Float in [1e-45, -1, .nan, .infinity] {
      for place in [0, count / 2, count - 1] {
        x[place] = number
        #expect(coix_is_zero(x, count) == 0)
        #expect(coix_is_zero(x, place) == 1)
        x[place] = -0.0
        #expect(coix_is_zero(x, count) == 1)
      }
    }
  }

  @Test(arguments: oddSizes) func rounding(count: Int) {
    var random = SplitMix(seed: 71)
    let x = (0..<count).map { _ in Double.random(in: -1e6...1e6, using: &random) }
    #expect(output(count) { coix_round(x, $0, count) } == x.map(Float.init))
    let strange: [Double] = [1e300, -1e300, 1e-300, 1 + 0x1p-24, 1 + 0x1.8p-24, .nan, -0.0, .infinity]
    #expect(sameBits(output(8) { coix_round(strange, $0, 8) }, strange.map(Float.init)))
  }

  @Test func positionsAreRoundedAndClamped() {
    let x: [Float] = [
      -.infinity, -1, -0.0, 0, 0.49, 0.5, 1.49, 1.5, 2.5, 3.49, 3.5, 4, 1e10, .infinity, .nan, 1e-45,
    ]
    var positions = [Int32](repeating: -1, count: x.count + 1)
    coix_positions(x, &positions, 4, x.count)
    #expect(positions == [0, 0, 0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 3, 3, 0, 0, -1])
    coix_positions(x, &positions, 1, x.count)
    #expect(positions == Array(repeating: 0, count: x.count) + [-1])
  }

  /// The same positions as when an element is gathered by its float.
  @Test func positionsAreThoseOfGathering() {
    var random = SplitMix(seed: 72)
    let x = random.floats(500, in: -2...12)
    let table = (0..<10).map { Float($0) }
    var positions = [Int32](repeating: -1, count: x.count)
    coix_positions(x, &positions, 10, x.count)
    for (x, position) in zip(x, positions) {
      #expect(output(1) { coix_gather_axis(table, [x], 1, $0, 1, 10, 1) } == [Float(position)])
    }
  }

  @Test(arguments: [1, 3, 20]) func sumsAtPositions(inner: Int) {
    for (count, n) in [(1, 1), (7, 20), (300, 5)] {
      var random = SplitMix(seed: 73)
      let source = random.floats(count * inner)
      let index = (0..<count).map { _ in Int32.random(in: 0..<Int32(n), using: &random) }
      var sums = [Double](repeating: 99, count: n * inner)
      let scattered = output(n * inner) { coix_scatter_positions(source, index, &sums, $0, n, count, inner) }
      // In double, in ascending order.
      var expected = [Double](repeating: 0, count: n * inner)
      for k in 0..<count {
        for i in 0..<inner { expected[Int(index[k]) * inner + i] += Double(source[k * inner + i]) }
      }
      #expect(sums == expected && scattered == expected.map(Float.init))
    }
  }

  @Test(arguments: [1, 3, 20]) func sumsOfATable(inner: Int) {
    for (rows, n) in [(16, 1), (16, 40), (256, 5)] {
      var random = SplitMix(seed: 74)
      let gradient = random.floats(inner * rows)
      let positions = (0..<rows).map { _ in Int32.random(in: 0..<Int32(n), using: &random) }
      var sums = [Double](repeating: 99, count: n * inner)
      let table = output(n * inner) { coix_scatter_table(gradient, positions, &sums, $0, n, inner, rows) }
      var expected = [Double](repeating: 0, count: n * inner)
      for i in 0..<inner {
        for r in 0..<rows { expected[Int(positions[r]) * inner + i] += Double(gradient[i * rows + r]) }
      }
      #expect(sums == expected && table == expected.map(Float.init))
    }
  }

  /// Many small terms do not vanish beside a large one.
  @Test func sumsAreInDouble() {
    let source = [1e8] + [Float](repeating: 1, count: 1_000)
    let index = [Int32](repeating: 0, count: source.count)
    var sums = [0.0]
    let total: Float = 100_001_000
    #expect(output(1) { coix_scatter_positions(source, index, &sums, $0, 1, source.count, 1) } == [total])
    #expect(output(1) { coix_scatter_table(source, index, &sums, $0, 1, 1, source.count) } == [total])
  }
}
