import CoixKernels
import Foundation
import TestSupport
import Testing

/// A draw of one element for each of `count` rows.
func draw(_ count: Int) -> coix_draw {
  coix_draw(
    first_row: 0, valid_rows: UInt64(count), rows: UInt64(count), elements: 1, row_stride: 1,
    element_stride: 0,
    offset: 0, row_numbers: nil)
}

/// The bits of the given draw.
func bits(_ key: coix_key, _ draw: coix_draw, team: Int32 = 1) -> [UInt32] {
  var out = [UInt32](repeating: 0, count: Int(draw.rows * draw.elements))
  coix_draw_bits(key, draw, &out, team)
  return out
}

/// word0 ^ word1 at one counter.
func bits(_ key: coix_key, at counter: UInt64) -> UInt32 {
  let block = coix_threefry(key, counter)
  return block.word0 ^ block.word1
}

@Suite struct RandomTests {
  static let key = coix_key(word0: 17, word1: 2_920_000_001)

  /// The known answers that come with Random123.
  @Test func threefryHasItsKnownAnswers() {
    let answers: [(key: (UInt32, UInt32), counter: UInt64, word0: UInt32, word1: UInt32)] = [
      ((0, 0), 0, 0x6b20_0159, 0x99ba_4efe),
      ((.max, .max), .max, 0x1cb9_96fc, 0xbb00_2be7),
      ((0x1319_8a2e, 0x0370_7344), 0x243f_6a88_85a3_08d3, 0xc492_3a9c, 0x483d_f7a0),
    ]
    for answer in answers {
      let block = coix_threefry(coix_key(word0: answer.key.0, word1: answer.key.1), answer.counter)
      #expect(block.word0 == answer.word0)
      #expect(block.word1 == answer.word1)
    }
  }

  /// Numbers of jax.random 0.10.2, from the golden vectors. All but the Gumbel draws, which go through two
  /// logarithms, are exact where there are fused multiply-adds.
  @Test func drawsAreJAXs() {
    #expect(bits(coix_key(word0: 0, word1: 0), draw(3)) == [4_070_199_207, 4_202_968_722, 1_427_181_096])

    let uniform = output(5) {
      coix_draw_uniform(coix_key(word0: 24_187_759, word1: 2_768_479_830), draw(5), -2.5, 7, $0, 1)
    }
    #expect(distance(uniform, [6.653653, 0.96503806, 0.15810621, 2.3376987, 5.84624]) < 2e-7)

    let normal = output(5) {
      coix_draw_normal(coix_key(word0: 2_914_981_055, word1: 954_773_331), draw(5), $0, 1)
    }
    #expect(distance(normal, [0.9961498, 1.1833688, -0.3355616, -0.88744664, -0.48365003]) < 1e-7)

    let gumbel = output(5) {
      coix_draw_gumbel(coix_key(word0: 2_206_372_478, word1: 2_580_552_909), draw(5), $0, 1)
    }
    #expect(distance(gumbel, [2.120071, 1.5294136, 0.09496258, 1.7360995, 1.7881548]) < 3e-7)

    var integers = [Int32](repeating: 0, count: 5)
    coix_draw_randint(
      coix_key(word0: 2_345_250_689, word1: 854_054_756), draw(5), -5, 1_000, &integers, 1)
    #expect(integers == [883, 682, 474, 933, 422])
  }

  /// Every layout: first row, padding, strides, offset, counters that cross 2^32 and that wrap at 2^64.
  @Test(
    arguments: [(1, 0), (7, 2), (3, 1 << 33), (1 << 27, 1), (1 << 30, 5), (1 << 40, 3)] as [(UInt64, UInt64)])
  func elementsLieWhereTheirStridesSay(rowStride: UInt64, elementStride: UInt64) {
    for rows in oddSizes.map(UInt64.init) {
      for valid in [rows, (rows + 1) / 2] {
        let draw = coix_draw(
          first_row: 4_294_967_290, valid_rows: valid, rows: rows, elements: 3, row_stride: rowStride,
          element_stride: elementStride, offset: 11, row_numbers: nil)
        let got = bits(Self.key, draw)
        for e in 0..<3 as Range<UInt64> {
          for r in 0..<rows {
            let counter = (draw.first_row + min(r, valid - 1)) &* rowStride &+ e * elementStride &+ 11
            #expect(got[Int(e * rows + r)] == bits(Self.key, at: counter))
          }
        }
      }
    }
  }

  @Test(arguments: [1, 3, 1 << 33] as [UInt64]) func rowsMayHaveNumbers(rowStride: UInt64) {
    var random = SplitMix(seed: 54)
    for rows in oddSizes.map(UInt64.init) {
      for valid in [rows, (rows + 1) / 2] {
        let numbers = (0..<Int(valid)).map { _ in UInt64.random(in: 0..<1 << 30, using: &random) }
        numbers.withUnsafeBufferPointer { numbers in
          let draw = coix_draw(
            first_row: 99, valid_rows: valid, rows: rows, elements: 2, row_stride: rowStride,
            element_stride: 7,
            offset: 5, row_numbers: numbers.baseAddress)
          let got = bits(Self.key, draw)
          // One gamma number for each, too, from a key of its own.
          let alpha: [Float] = [1.5, 1.5]
          let gamma = output(Int(2 * rows)) { coix_draw_gamma(Self.key, draw, alpha, 1, 0, 0, $0, 1) }
          for e in 0..<2 as Range<UInt64> {
            for r in 0..<rows {
              let counter = numbers[Int(min(r, valid - 1))] &* rowStride &+ e * 7 &+ 5
              #expect(got[Int(e * rows + r)] == bits(Self.key, at: counter))
              var single = CoixKernelsTests.draw(1)
              single.offset = counter
              let one = output(1) { coix_draw_gamma(Self.key, single, alpha, 1, 0, 0, $0, 1) }
              #expect(gamma[Int(e * rows + r)] == one[0])
            }
          }
        }
      }
    }
  }

  @Test func aSliceIsThatSliceOfTheWhole() {
    let whole = output(1_000) { coix_draw_normal(Self.key, draw(1_000), $0, 1) }
    var part = draw(16 * 7)
    part.first_row = 333
    let slice = output(16 * 7) { coix_draw_normal(Self.key, part, $0, 1) }
    #expect(sameBits(slice, Array(whole[333..<333 + 112])))
  }

  @Test func teamsChangeNoBit() {
    let size = 200_001
    let normal = output(size) { coix_draw_normal(Self.key, draw(size), $0, 1) }
    let words = bits(Self.key, draw(size))
    for team: Int32 in [2, 3] {
      #expect(sameBits(output(size) { coix_draw_normal(Self.key, draw(size), $0, team) }, normal))
      #expect(bits(Self.key, draw(size), team: team) == words)
    }
  }

  @Test func uniformsStayInTheirRange() {
    let size = 100_000
    let unit = output(size) { coix_draw_uniform(Self.key, draw(size), 0, 1, $0, 1) }
    #expect(unit.allSatisfy { 0 <= $0 && $0 < 1 })
    let words = bits(Self.key, draw(size))
    let expected = words.map { word -> Float in Float(word >> 9) / 8_388_608 }
    #expect(unit.elementsEqual(expected))
  }

  /// The mean and variance of 100,000 numbers, at five standard errors (false alarm 6e-7 each; the seed is
  /// fixed).
  @Test func normalsHaveMeanZeroAndVarianceOne() {
    let size = 100_000
    let z = output(size) { coix_draw_normal(Self.key, draw(size), $0, 1) }.map(Double.init)
    let mean = z.reduce(0, +) / Double(size)
    let variance = z.reduce(0) { $0 + $1 * $1 } / Double(size)
    #expect(abs(mean) < 5 / Double(size).squareRoot())
    #expect(abs(variance - 1) < 5 * (2 / Double(size)).squareRoot())
  }

  @Test func affineNormalsAreScaledAndShifted() {
    for rows in oddSizes {
      var random = SplitMix(seed: 40)
      let (loc, scale) = (random.floats(2 * rows), random.floats(2, in: 0.1...2))
      var layout = draw(rows)
      (layout.elements, layout.row_stride, layout.element_stride) = (2, 2, 1)
      var noise: [Float] = []
      let out = output(2 * rows) { out in
        noise = output(2 * rows) {
          coix_draw_normal_affine(Self.key, layout, loc, rows, 1, scale, 1, 0, $0, out, 1)
        }
      }
      #expect(sameBits(noise, output(2 * rows) { coix_draw_normal(Self.key, layout, $0, 1) }))
      let want = out.indices.map { Double(loc[$0]) + Double(scale[$0 / rows]) * Double(noise[$0]) }
      #expect(distance(out, want) < 3e-7)
      let silent = output(2 * rows) {
        coix_draw_normal_affine(Self.key, layout, loc, rows, 1, scale, 1, 0, nil, $0, 1)
      }
      #expect(sameBits(silent, out))
    }
  }

  /// (low, high, the only values allowed)
  @Test(arguments: [(0, 7), (-3, 2), (5, 5), (9, 4), (.min, .max)] as [(Int32, Int32)])
  func integersStayInTheirRange(low: Int32, high: Int32) {
    var out = [Int32](repeating: 0, count: 1_000)
    coix_draw_randint(Self.key, draw(1_000), low, high, &out, 1)
    let top = high > low ? high : low + 1
    #expect(out.allSatisfy { low <= $0 && $0 < top })
    if low < high && high < 100 { #expect(Set(out).count == Int(high - low)) }
  }

  /// JAX's formula in whole numbers, with the divisions that the kernel replaces by products.
  @Test(arguments: [1, 2, 3, 7, 255, 300, 10_000, 65_535, 65_536, 65_537, 1 << 30, .max] as [Int32])
  func integersFollowTheFormula(span: Int32) {
    for low in [0, -span] {
      let count = 777
      var out = [Int32](repeating: 0, count: count)
      coix_draw_randint(Self.key, draw(count), low, low + span, &out, 1)
      let words = [UInt64(0), 1].map { half in
        var bits = [UInt32](repeating: 0, count: count)
        coix_draw_bits(coix_threefry(Self.key, half), draw(count), &bits, 1)
        return bits
      }
      let divisor = UInt32(span)
      let multiplier = (65_536 % divisor) &* (65_536 % divisor) % divisor
      let expected = zip(words[0], words[1]).map { high, rest in
        low &+ Int32((high % divisor &* multiplier &+ rest % divisor) % divisor)
      }
      #expect(out == expected)
    }
  }
}
