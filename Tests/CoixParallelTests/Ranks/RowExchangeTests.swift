import CoixKernels
import Foundation
import TestSupport
import Testing

@testable import CoixParallel

/// Rows that ranks hold, and what they bring each other.
@Suite struct RowExchangeTests {
  /// Borders of three ranks: some rows each, one rank without any, and one rank with all.
  static let borders = [
    [0, 400, 700, 1_000], [0, 500, 500, 1_000], [0, 0, 1_000, 1_000], [0, 1, 2, 1_000],
  ]

  /// The rows of an array that a rank has: each number is the row's, or -1 for those of others.
  private static func held(_ shares: RowShares, width: Int = 1) throws -> (
    RankRows, UnsafeMutablePointer<Float>
  ) {
    let rows = try RankRows(
      shares, unit: width * MemoryLayout<Float>.stride, name: shares.ranks.makeName(), for: "a test")
    let numbers = rows.address.assumingMemoryBound(to: Float.self)
    for element in 0..<shares.count * width {
      numbers[element] = shares.own.contains(element / width) ? Float(element) : -1
    }
    return (rows, numbers)
  }

  @Test(arguments: borders)
  func allRowsComeToAll(_ borders: [Int]) throws {
    let isRight = try Ranks.inProcess(3) { ranks in
      let (rows, numbers) = try Self.held(RowShares(ranks: ranks, borders: borders), width: 2)
      #expect(!rows.isWhole)
      try rows.complete()
      try rows.complete()
      return rows.isWhole && (0..<2_000).allSatisfy { numbers[$0] == Float($0) }
    }
    #expect(isRight == [true, true, true])
  }

  @Test(arguments: borders)
  func rangesAreSpread(_ borders: [Int]) throws {
    let wanted = [0..<450, 300..<300, 0..<1_000]
    let found = try Ranks.inProcess(3) { ranks in
      let shares = RowShares(ranks: ranks, borders: borders)
      let (rows, numbers) = try Self.held(shares)
      try ranks.meet(at: .rows)
      try ranks.spread(rows.address, unit: 4, held: shares.all, wanted: wanted)
      let own = wanted[ranks.index]
      return (0..<1_000).allSatisfy { row in
        numbers[row] == (own.contains(row) || shares.own.contains(row) ? Float(row) : -1)
      }
    }
    #expect(found == [true, true, true])
  }

  /// Rows through indices that ascend, that don't, and that need no other rank.
  @Test(arguments: borders, [0, 1, 2])
  func rowsAreFetched(_ borders: [Int], kind: Int) throws {
    var random = SplitMix(seed: UInt64(kind + 1))
    let index = (0..<900).map { row -> Int32 in
      if kind == 0 { return Int32(row / 3 * 3 + 50) }
      if kind == 1 { return Int32(random.next() % 1_000) }
      // The first row of the rank that reads it.
      return Int32(borders.last { $0 * 9 / 10 <= row && $0 < 1_000 } ?? 0)
    }
    let sent = try Ranks.inProcess(3) { ranks -> Int in
      let shares = RowShares(ranks: ranks, borders: borders)
      let readers = (0..<3).map { (rank: Int) -> Range<Int> in
        let (first, end) = (borders[rank], borders[rank + 1])
        return first * 9 / 10..<end * 9 / 10
      }
      let (rows, numbers) = try Self.held(shares, width: 3)
      let table = try Numbers<Int32>(count: index.count, for: "a test")
      table.write { for (row, number) in index.enumerated() { $0[row] = number } }
      let fetch = RowFetch(rows, for: readers, through: table.pointer)
      let before = ranks.traffic.bytes
      #expect(try fetch.run())
      for row in readers[ranks.index] {
        let number = Int(index[row])
        for element in 3 * number..<3 * number + 3 { #expect(numbers[element] == Float(element)) }
      }
      // Each distinct row crosses once: its number one way, and its three floats the other.
      func fetched(by reader: Int, from holder: Int) -> Int {
        guard reader != holder else { return 0 }
        let held = shares.rows(of: holder)
        return Set(index[readers[reader]]).count { (row: Int32) in held.contains(Int(row)) }
      }
      var (asked, sent) = (0, 0)
      for other in 0..<3 {
        asked += fetched(by: ranks.index, from: other)
        sent += fetched(by: other, from: ranks.index)
      }
      let notice = MemoryLayout<RankNotice>.stride + 3 * MemoryLayout<Int32>.stride
      #expect(ranks.traffic.bytes - before == 2 * notice + 4 * asked + 12 * sent)
      return sent
    }
    if kind == 2 { #expect(sent == [0, 0, 0]) }
    if kind == 1, borders == Self.borders[0] { #expect(!sent.contains(0)) }
  }

  @Test func whatIsHereIsKnown() throws {
    _ = try Ranks.inProcess(2) { ranks in
      let shares = RowShares(ranks: ranks, borders: [0, 600, 1_000])
      let (rows, _) = try Self.held(shares)
      let own = shares.own
      #expect(rows.has(own, through: nil))
      #expect(!rows.has(0..<1_000, through: nil))
      let within = RowIndex(try Numbers<Int32>(repeating: Int32(own.lowerBound), count: 1_000, for: "a test"))
      let beyond = RowIndex(
        try Numbers<Int32>(repeating: Int32(999 - own.lowerBound), count: 1_000, for: "a test"))
      #expect(rows.has(own, through: within))
      #expect(!rows.has(own, through: beyond))
      rows.noteFetched(own, through: beyond)
      #expect(rows.has(own, through: beyond) && !rows.has(0..<1_000, through: beyond))
    }
  }

  /// Each row has a rank, also beside ranks that have none.
  @Test func rowsBelongToOneRank() throws {
    _ = try Ranks.inProcess(3) { ranks in
      for borders in Self.borders {
        let shares = RowShares(ranks: ranks, borders: borders)
        for row in 0..<1_000 {
          #expect(shares.rows(of: shares.rank(of: row)).contains(row), "\(borders), row \(row)")
        }
      }
    }
  }

  /// Each block belongs to the rank that has its first row.
  @Test func blocksBelongToOneRank() throws {
    _ = try Ranks.inProcess(3) { ranks in
      for borders in Self.borders {
        let shares = RowShares(ranks: ranks, borders: borders)
        for size in [1, 64, 300, 1_000, 5_000] {
          let blocks = (0..<3).flatMap { Array(shares.blocks(of: $0, size: size)) }
          #expect(blocks == Array(0..<(1_000 + size - 1) / size), "\(borders), \(size)")
        }
      }
    }
  }

  // MARK: Weights

  private static func weights(_ count: Int, _ kind: Int) -> [Float] {
    var random = SplitMix(seed: UInt64(kind))
    let noise = random.floats(count, in: -3...3)
    return noise.enumerated().map { row, noise in
      switch kind {
      case 0: noise
      case 1: noise - Float(row) * 20 / Float(count)
      case 2: row == count - 7 ? 1 : -.infinity
      default: row < count / 5 ? noise : -.infinity
      }
    }
  }

  /// Moments, log-sums and ancestors of weights that are divided among ranks have the bits of one rank.
  @Test(
    arguments: [[0, 9_000, 14_000, 20_000], [0, 20_000, 20_000, 20_000], [0, 1, 19_999, 20_000]],
    [0, 1, 2, 3])
  func weightsOfRanks(_ borders: [Int], kind: Int) throws {
    let numbers = Self.weights(20_000, kind)
    let whole = try LogWeights(Tensor(numbers))
    let moments = try whole.moments()
    let expected = [moments.sampleSize(0), moments.logSum(0), Double(try whole.logMeans(1).scalar)]
    let counts = [20_000, 5_001]
    let draws = try ResamplingScheme.allCases.map { scheme in
      try counts.map { count in
        let rows = try whole.ancestors(scheme, key: PRNGKey(3), count: count).index.rows
        return (0..<count).map { rows[$0] }
      }
    }
    let isRight = try Ranks.inProcess(3) { ranks -> Bool in
      let shares = RowShares(ranks: ranks, borders: borders)
      let rows = try RankRows(shares, unit: 4, name: ranks.makeName(), for: "a test")
      let pointer = rows.address.assumingMemoryBound(to: Float.self)
      for row in shares.own { pointer[row] = numbers[row] }
      let tensor = Tensor(storage: Storage(in: rows, capacity: 20_000), shape: [20_000]).mapped(plate: "p")
      let population = Population(
        batch: [20_000], hasParticles: true, plate: "p", workers: try Workers(threads: 2, ranks: ranks))
      let weights = try #require(RankWeights(tensor, of: population))
      let sums = try (0..<3).map { _ in try Numbers<Double>(count: 1, for: "a test") }
      try weights.moments(to: sums[0].pointer, sums[1].pointer, sums[2].pointer)
      let logSum = try Numbers<Float>(count: 1, for: "a test")
      let parts = try Numbers<Double>(count: 2, for: "a test")
      try weights.logSum(to: logSum.pointer, parts)
      let slope = try weights.slopeOfLogSum(parts, [0.7])
      var slopes = [Float](repeating: 0, count: 20_000)
      coix_logsumexp_backward(numbers, [0.7], &slopes, 1, 20_000, 1, 1)
      #expect(slope.rowsInParts != nil && sameBits(slope.scalars, slopes))
      #expect(sums[1][0] * sums[1][0] / sums[2][0] == expected[0])
      #expect(sums[0][0] + log(sums[1][0]) == expected[1])
      #expect(Double(logSum[0]) == expected[2])
      for (scheme, draws) in zip(ResamplingScheme.allCases, draws) {
        for (count, draw) in zip(counts, draws) {
          let index = try scheme.ancestors(of: count, LogWeights(Tensor(numbers)), weights, key: PRNGKey(3))
          let own = population.shares(of: count)?.own ?? 0..<count
          #expect(own.allSatisfy { index.pointer[$0] == draw[$0] }, "\(scheme), \(count)")
        }
      }
      #expect(!rows.isWhole)
      return true
    }
    #expect(isRight == [true, true, true])
  }

  @Test func weightsWithoutAMeaning() throws {
    for broken in [Float.nan, .infinity] {
      let isDrawn = try Ranks.inProcess(2) { ranks -> Bool in
        let shares = RowShares(ranks: ranks, borders: [0, 5_000, 10_000])
        let rows = try RankRows(shares, unit: 4, name: ranks.makeName(), for: "a test")
        let pointer = rows.address.assumingMemoryBound(to: Float.self)
        for row in shares.own { pointer[row] = row == 7_000 ? broken : 0 }
        let tensor = Tensor(storage: Storage(in: rows, capacity: 10_000), shape: [10_000]).mapped(plate: "p")
        let population = Population(
          batch: [10_000], hasParticles: true, plate: "p", workers: try Workers(threads: 1, ranks: ranks))
        let weights = try #require(RankWeights(tensor, of: population))
        let index = try Numbers<Int32>(count: 10_000, for: "a test")
        return try weights.ancestors(
          COIX_SYSTEMATIC, Tensor([Float(0.5)]), positions: nil, to: index, population.shares(of: 10_000))
      }
      #expect(isDrawn == [false, false])
    }
  }

  // MARK: Kernels

  @Test func rowsElsewhere() {
    let index: [Int32] = [5, 5, 7, 2, 2, 9, 5, 2]
    var found = [Int32](repeating: -1, count: 8)
    #expect(coix_rows_elsewhere(index, 8, 4, 8, nil) == 3)
    #expect(coix_rows_elsewhere(index, 8, 4, 8, &found) == 3)
    #expect(found == [2, 9, 2, -1, -1, -1, -1, -1])
    #expect(coix_rows_elsewhere(index, 8, 0, 10, nil) == 0)
    #expect(coix_rows_are_within(index, 8, 2, 10) == 1)
    #expect(coix_rows_are_within(index, 8, 3, 10) == 0 && coix_rows_are_within(index, 8, 2, 9) == 0)
    #expect(coix_rows_are_within(index, 0, 0, 0) == 1)
  }
}
