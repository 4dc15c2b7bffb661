import CoixKernels
import Foundation
import TestSupport
import Testing

@testable import CoixParallel

/// Gradients of gathered rows, which go back to the ranks that have the rows they were gathered from.
@Suite struct RowReturnTests {
  /// A tensor `[rows, width]` of which each rank has its own rows; the others are NaN.
  private static func tensor(_ numbers: [Float], _ shares: RowShares, width: Int) throws -> Tensor {
    let rows = try RankRows(
      shares, unit: width * MemoryLayout<Float>.stride, name: shares.ranks.makeName(), for: "a test")
    let shape = Shape([shares.count, width])
    let tensor = Tensor(storage: Storage(in: rows, capacity: shape.elementCount), shape: shape)
    for element in 0..<shape.elementCount {
      tensor.pointer[element] = shares.own.contains(element / width) ? numbers[element] : .nan
    }
    return tensor
  }

  /// The numbers of an index, of which each rank has all, or its own.
  private static func numbers(_ index: [Int32], _ shares: RowShares, areWhole: Bool) throws -> Numbers<Int32>
  {
    let numbers =
      areWhole
      ? try Numbers<Int32>(count: index.count, for: "a test")
      : Numbers<Int32>(
        in: try RankRows(shares, unit: 4, name: shares.ranks.makeName(), for: "a test"))
    numbers.write {
      for (row, target) in index.enumerated() { $0[row] = areWhole || shares.own.contains(row) ? target : -7 }
    }
    return numbers
  }

  /// How the targets of rows follow each other.
  enum Order: UInt64, CaseIterable {
    /// They ascend, with runs across the borders of ranks, one of them of 120 rows.
    case ascending
    /// The same, but for one pair.
    case nearlyAscending
    /// At random.
    case random
    /// They ascend, and then begin anew.
    case ascendingTwice
    /// All are the last one.
    case last

    func targets(of count: Int, among targets: Int) -> [Int32] {
      var random = SplitMix(seed: rawValue + 1)
      var index = (0..<count).map { _ in Int32(random.next() % UInt64(targets)) }
      switch self {
      case .ascending, .nearlyAscending:
        for row in 300..<420 { index[row] = 500 }
        index.sort()
        if self == .nearlyAscending { index.swapAt(0, count - 1) }
      case .random: break
      case .ascendingTwice: index = (0..<count).map { Int32($0 * 2 % targets) }
      case .last: index = Array(repeating: Int32(targets - 1), count: count)
      }
      return index
    }
  }

  @Test(arguments: RowExchangeTests.borders, Order.allCases)
  func sumsAreThoseOfOneRank(_ borders: [Int], _ kind: Order) throws {
    let (count, targets, widths) = (900, 1_000, [1, 2, 5])
    let index = kind.targets(of: count, among: targets)
    var random = SplitMix(seed: 9)
    let gradients = widths.map { random.floats(count * $0) }
    var (order, offsets) = ([Int32](repeating: 0, count: count), [Int32](repeating: 0, count: targets + 1))
    coix_sort_rows(index, count, targets, &order, &offsets)
    let expected = zip(widths, gradients).map { (width: Int, gradients: [Float]) -> [Float] in
      var sums = [Float](repeating: .nan, count: targets * width)
      coix_scatter_add_rows(gradients, order, offsets, &sums, targets, width, 1)
      return sums
    }
    for areWhole in [false, true] {
      let sent = try Ranks.inProcess(3) { ranks -> Int in
        let to = RowShares(ranks: ranks, borders: borders)
        let from = RowShares(ranks: ranks, borders: borders.map { $0 * 9 / 10 })
        let columns = try zip(widths, gradients).map { (width: Int, numbers: [Float]) -> (Tensor, Tensor) in
          let none = [Float](repeating: .nan, count: targets * width)
          return (try Self.tensor(numbers, from, width: width), try Self.tensor(none, to, width: width))
        }
        let numbers = try Self.numbers(index, from, areWhole: areWhole)
        defer { withExtendedLifetime((numbers, columns)) {} }
        let call = RowReturn(of: columns, by: numbers, from: from, to: to, team: 1)
        let before = ranks.traffic.bytes
        // As in a step that is replayed, more than once.
        for _ in 0..<2 {
          #expect(try call.run())
          for (column, width) in widths.enumerated() {
            let own = to.own.lowerBound * width..<to.own.upperBound * width
            let sums = Array(
              UnsafeBufferPointer(
                rebasing: UnsafeBufferPointer(
                  start: columns[column].1.pointer, count: targets * width)[own]))
            #expect(sameBits(sums, Array(expected[column][own])), "width \(width)")
          }
        }
        return ranks.traffic.bytes - before
      }
      // Of those that ascend, the rows beside the borders alone travel: no more than 120 of one target, and what targets are shifted by.
      if kind == .ascending { #expect(sent.allSatisfy { $0 < 2 * (400 * 9 * 4 + 500) }, "\(sent)") }
    }
  }

  /// A gather's targets are the rows that its tensor has now, whatever rows its memory was made for.
  @Test func reshapedRowsAreNotShared() throws {
    _ = try Ranks.inProcess(2) { ranks in
      let shares = RowShares(ranks: ranks, borders: [0, 40, 100])
      let pairs = try Self.tensor((0..<200).map { Float($0) }, shares, width: 2).validated()
      let index = try RowIndex([199, 0, 1])
      let halves = try #require(RowScatter(pairs.reshaped(to: [200]).mapped(plate: "p", index: index)))
      #expect(halves.targets == 200 && halves.shares == nil)
      let gathered = try #require(RowScatter(pairs.mapped(plate: "p", index: try RowIndex([99, 0]))))
      #expect(gathered.targets == 100 && gathered.shares == shares)
      #expect(RowScatter(pairs.mapped(plate: "p")) == nil)
    }
  }

  /// The sum of gradients over all rows, of which each rank has its own of one, of the other, or of both.
  @Test(arguments: [(true, false), (false, true), (true, true)])
  func ownRowsAreAdded(_ first: Bool, _ second: Bool) throws {
    let (count, width) = (1_000, 3)
    var random = SplitMix(seed: 4)
    let (a, b) = (random.floats(count * width), random.floats(count * width))
    let expected = zip(a, b).map { $0 + $1 }
    let areRight = try Ranks.inProcess(3) { ranks -> Bool in
      let shares = RowShares(ranks: ranks, borders: [0, 400, 400, 1_000])
      func make(_ numbers: [Float], _ isInParts: Bool) throws -> Tensor {
        isInParts
          ? try Self.tensor(numbers, shares, width: width) : Tensor(numbers, shape: [count, width])
      }
      let before = ranks.traffic.exchanges
      let sum = try #require(Tensor.sumOfOwnRows(try make(a, first), try make(b, second)))
      #expect(sum.rowsInParts != nil && ranks.traffic.exchanges == before)
      return sameBits(try sum.validated().scalars, expected)
    }
    #expect(areRight == [true, true, true])
  }

  @Test func otherRowsAreNotAdded() throws {
    let areRight = try Ranks.inProcess(2) { ranks -> Bool in
      let numbers = (0..<100).map { Float($0) }
      let a = try Self.tensor(numbers, RowShares(ranks: ranks, borders: [0, 40, 100]), width: 1)
      let b = try Self.tensor(numbers, RowShares(ranks: ranks, borders: [0, 60, 100]), width: 1)
      #expect(Tensor.sumOfOwnRows(a, b) == nil)
      #expect(Tensor.sumOfOwnRows(Tensor(numbers), Tensor(numbers)) == nil)
      return sameBits((a + b).scalars, numbers.map { 2 * $0 })
    }
    #expect(areRight == [true, true])
  }
}
