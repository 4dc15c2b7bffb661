import CoixKernels
import TestSupport
import Testing

@Suite struct RowsTests {
  @Test(arguments: [1, 2, 5, 70]) func loadingAndStoringTranspose(elements: Int) {
    for valid in oddSizes {
      let (first, rows) = (3, (valid + 15) / 16 * 16)
      var random = SplitMix(seed: 50)
      let table = random.floats((first + valid) * elements)

      let chunk = output(elements * rows) { coix_load_rows(table, nil, $0, first, valid, rows, elements) }
      for e in 0..<elements {
        for r in 0..<rows {
          #expect(chunk[e * rows + r] == table[(first + min(r, valid - 1)) * elements + e])
        }
      }

      let stored = output(table.count) { out in
        coix_fill(out, 0, first * elements, 1)
        coix_store_rows(chunk, out, first, valid, rows, elements)
      }
      #expect(Array(stored[(first * elements)...]) == Array(table[(first * elements)...]))
    }
  }

  @Test func loadingFollowsAnIndex() {
    let table: [Float] = [0, 1, 10, 11, 20, 21, 30, 31]
    let chunk = output(2 * 16) { coix_load_rows(table, [9, 3, 3, 0], $0, 1, 3, 16, 2) }
    #expect(chunk[..<4] == [30, 30, 0, 0])
    #expect(chunk[16..<20] == [31, 31, 1, 1])
  }

  @Test(arguments: [1, 3, 70]) func rowsWithNumbers(elements: Int) {
    var random = SplitMix(seed: 52)
    for valid in oddSizes {
      let rows = (valid + 15) / 16 * 16
      let numbers = (0..<UInt64(2 * valid)).shuffled(using: &random).prefix(valid)
      let index = (0..<Int32(2 * valid)).shuffled(using: &random)
      let table = random.floats(2 * valid * elements)
      for index in [nil, index] {
        let chunk = output(elements * rows) {
          coix_load_numbered_rows(table, index, Array(numbers), $0, valid, rows, elements)
        }
        for e in 0..<elements {
          for r in 0..<rows {
            let number = Int(numbers[min(r, valid - 1)])
            #expect(chunk[e * rows + r] == table[(index.map { Int($0[number]) } ?? number) * elements + e])
          }
        }
        guard index == nil else { continue }
        let stored = output(table.count) { out in
          coix_fill(out, .nan, table.count, 1)
          coix_store_numbered_rows(chunk, Array(numbers), out, valid, rows, elements)
        }
        for row in 0..<2 * valid {
          for e in 0..<elements {
            let (got, want) = (stored[row * elements + e], table[row * elements + e])
            #expect(numbers.contains(UInt64(row)) ? got == want : got.isNaN)
          }
        }
      }
    }
  }

  @Test(arguments: [(1, 1), (2, 1), (1, 3), (3, 5), (20, 40), (65, 17)] as [(Int, Int)])
  func spreadingAndFolding(outer: Int, inner: Int) {
    func padded(_ rows: Int) -> Int { (rows + 15) / 16 * 16 }
    let (elements, rows) = (3, padded(outer * inner))
    var random = SplitMix(seed: 53)
    for isByInner in [true, false] {
      let sourceRows = padded(isByInner ? inner : outer)
      let source = random.floats(elements * sourceRows)
      let spread = output(elements * rows) {
        coix_spread_rows(source, sourceRows, $0, rows, elements, outer, inner, isByInner ? 1 : 0)
      }
      func at(_ row: Int) -> Int { isByInner ? row % inner : row / inner }
      for e in 0..<elements {
        for r in 0..<rows {
          #expect(spread[e * rows + r] == source[e * sourceRows + at(min(r, outer * inner - 1))])
        }
      }

      let gradient = random.floats(elements * rows)
      let folded = output(elements * sourceRows) {
        coix_fold_rows(gradient, rows, $0, sourceRows, elements, outer, inner, isByInner ? 1 : 0)
      }
      var want = [Double](repeating: 0, count: elements * sourceRows)
      for e in 0..<elements {
        for r in 0..<outer * inner { want[e * sourceRows + at(r)] += Double(gradient[e * rows + r]) }
      }
      // Up to 64 terms are added in single precision.
      #expect(distance(folded, want) <= 64 * 0x1p-24)
    }
  }

  @Test(arguments: [1, 2, 7]) func gatheringAndScattering(elements: Int) {
    for (count, targets) in [(1, 1), (50, 9), (7, 300)] + (elements == 7 ? [(20_000, 15_000)] : []) {
      var random = SplitMix(seed: 51)
      let index = (0..<count).map { _ in Int32.random(in: 0..<Int32(targets), using: &random) }
      let source = random.floats(targets * elements)

      let gathered = output(count * elements) { coix_gather_rows(source, index, $0, count, elements, 1) }
      let rows = index.flatMap { source[Int($0) * elements..<(Int($0) + 1) * elements] }
      #expect(sameBits(gathered, rows))

      var order = [Int32](repeating: -1, count: count)
      var offsets = [Int32](repeating: -1, count: targets + 1)
      coix_sort_rows(index, count, targets, &order, &offsets)
      let stable = index.indices.sorted { (index[$0], $0) < (index[$1], $1) }
      #expect(order.map(Int.init) == stable)
      #expect(offsets.first == 0 && offsets.last == Int32(count))

      // In ascending order of the rows, in float: the sums are exact.
      let gradient = random.floats(count * elements)
      var want = [Float](repeating: 0, count: targets * elements)
      for at in gradient.indices {
        want[Int(index[at / elements]) * elements + at % elements] += gradient[at]
      }
      for team: Int32 in [1, 2, 3] {
        let sums = output(want.count) { out in
          coix_fill(out, .nan, want.count, 1)
          coix_scatter_add_rows(gradient, order, offsets, out, targets, elements, team)
        }
        #expect(sameBits(sums, want))
        let again = output(count * elements) { coix_gather_rows(source, index, $0, count, elements, team) }
        #expect(sameBits(again, gathered))
      }
    }
  }

  /// Rows in their targets' order need no sorting: the same offsets and sums, for any team.
  @Test(arguments: [1, 2, 3, 4]) func runsOfAnAscendingIndex(elements: Int) {
    for (count, targets) in [(1, 1), (50, 9), (7, 300), (0, 4), (9_000, 7_000)] {
      var random = SplitMix(seed: 52)
      let index = (0..<count).map { _ in Int32.random(in: 0..<Int32(targets), using: &random) }.sorted()
      var order = [Int32](repeating: -1, count: count)
      var sorted = [Int32](repeating: -1, count: targets + 1)
      coix_sort_rows(index, count, targets, &order, &sorted)
      let gradient = random.floats(count * elements)
      let want = output(targets * elements) { out in
        coix_fill(out, .nan, targets * elements, 1)
        coix_scatter_add_rows(gradient, order, sorted, out, targets, elements, 1)
      }
      for team: Int32 in [1, 2, 3] {
        let sums = output(targets * elements) { out in
          coix_fill(out, .nan, targets * elements, 1)
          coix_scatter_add_runs(gradient, index, out, 0, targets, count, elements, team)
        }
        #expect(sameBits(sums, want))
      }
      #expect(coix_ascends(index, count) == 1)
      guard count > 1, index.first != index.last else { continue }
      var shuffled = index
      shuffled.swapAt(0, count - 1)
      #expect(coix_ascends(shuffled, count) == 0)
    }
  }

  /// So many rows that a team shares them, with runs of more than sixty-four rows, also across the borders of
  /// what a thread takes at a time.
  @Test(arguments: [1, 2, 3, 5]) func runsOfALongIndex(elements: Int) {
    let (count, targets) = (150_000, 40_001)
    var random = SplitMix(seed: 53)
    var index: [Int32] = []
    var target: Int32 = 0
    while index.count < count {
      let copies = [0, 1, 1, 1, 2, 3, 64, 65, 5_000].randomElement(using: &random) ?? 1
      index += Array(repeating: target, count: min(copies, count - index.count))
      target = min(target + 1, Int32(targets - 1))
    }
    let source = random.floats(count * elements)
    var (order, offsets) = ([Int32](repeating: -1, count: count), [Int32](repeating: -1, count: targets + 1))
    coix_sort_rows(index, count, targets, &order, &offsets)
    let want = output(targets * elements) { out in
      coix_fill(out, .nan, targets * elements, 1)
      coix_scatter_add_rows(source, order, offsets, out, targets, elements, 1)
    }
    for team: Int32 in [1, 2, 3] {
      let sums = output(targets * elements) { out in
        coix_fill(out, .nan, targets * elements, 1)
        coix_scatter_add_runs(source, index, out, 0, targets, count, elements, team)
      }
      #expect(sameBits(sums, want))
    }
    // In parts, some targets after others; the last ones have no rows.
    for borders in [[0, 10, 9_000, targets], [0, targets - 1, targets]] {
      let sums = output(targets * elements) { out in
        for (first, end) in zip(borders, borders.dropFirst()) {
          let rows = offsets[first]..<offsets[end]
          index.withUnsafeBufferPointer { index in
            source.withUnsafeBufferPointer { source in
              guard let index = index.baseAddress, let source = source.baseAddress else { return }
              coix_scatter_add_runs(
                source + Int(rows.lowerBound) * elements, index + Int(rows.lowerBound), out, first, end,
                rows.count, elements, 2)
            }
          }
        }
      }
      #expect(sameBits(sums, want))
    }
  }

  @Test func indicesAlongAnAxisAreRoundedAndClamped() {
    let (outer, n, inner) = (2, 3, 5)
    let x = (0..<outer * n * inner).map(Float.init)
    let index: [Float] = [0.4, 1.6, -7, 99, .nan]
    let chosen = [0, 2, 0, 2, 0]
    let got = output(outer * inner) { coix_gather_axis(x, index, 1, $0, outer, n, inner) }
    #expect(got == (0..<outer * inner).map { x[($0 / inner * n + chosen[$0 % inner]) * inner + $0 % inner] })
    let constant = output(outer * inner) { coix_gather_axis(x, [1], 0, $0, outer, n, inner) }
    #expect(constant == (0..<outer * inner).map { x[($0 / inner * n + 1) * inner + $0 % inner] })

    let dy = (0..<outer * inner).map { Float($0) + 1 }
    let dx = output(x.count) { out in
      coix_fill(out, 0, x.count, 1)
      coix_scatter_axis(dy, index, 1, out, outer, n, inner)
    }
    var want = [Float](repeating: 0, count: x.count)
    for at in dy.indices { want[(at / inner * n + chosen[at % inner]) * inner + at % inner] += dy[at] }
    #expect(dx == want)
  }

  @Test func oneHotVectors() {
    let hot = output(3 * 4) { coix_one_hot([0, 2, 5, 1], $0, 3, 4) }
    #expect(hot == [1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0])
  }
}
