/// Which rows of a plate are whose: each rank has those from its border to the next rank's.
struct RowShares: Equatable, Sendable {
  let ranks: Ranks
  /// The first row of each rank, then the number of all rows.
  let borders: [Int]

  static func == (a: RowShares, b: RowShares) -> Bool { a.ranks === b.ranks && a.borders == b.borders }

  /// How many rows all ranks have together.
  var count: Int { borders[ranks.count] }
  /// A rank's rows.
  func rows(of rank: Int) -> Range<Int> { borders[rank]..<borders[rank + 1] }
  /// This rank's rows.
  var own: Range<Int> { rows(of: ranks.index) }
  /// The rows of each rank.
  var all: [Range<Int>] { (0..<ranks.count).map(rows) }

  /// The rank that has a row.
  func rank(of row: Int) -> Int {
    // borders[first] <= row < borders[end]
    var (first, end) = (0, ranks.count)
    while end - first > 1 {
      let middle = (first + end) / 2
      if borders[middle] <= row { first = middle } else { end = middle }
    }
    return first
  }

  /// Whether there are so many rows that each rank computes its part of what is computed of all of them, rather than
  /// all of it.
  var areOfManyRows: Bool { Self.areMany(count, on: ranks.count) }
  static func areMany(_ rows: Int, on ranks: Int) -> Bool { rows >= Limits.rowsInBlocks * ranks }

  /// Which of the blocks of so many rows belong to a rank: those whose first row does.
  func blocks(of rank: Int, size: Int) -> Range<Int> {
    let rows = rows(of: rank)
    return (rows.lowerBound + size - 1) / size..<(rows.upperBound + size - 1) / size
  }

  /// How many blocks of so many rows each rank has.
  func blockCounts(size: Int) -> [Int] { (0..<ranks.count).map { blocks(of: $0, size: size).count } }
}

extension Ranks {
  /// Sends ranges of rows to where they are wanted. All ranks call it with the same ranges; they have come together.
  ///
  /// - Parameters:
  ///   - rows: a row-major array over all rows, `unit` bytes for each. Rows arrive at their own places in it.
  ///   - held: the rows that each rank has: no two ranks the same.
  ///   - wanted: the rows that each rank is to have.
  /// - Throws: what ranks throw.
  func spread(
    _ rows: UnsafeMutableRawPointer, unit: Int, held: [Range<Int>], wanted: [Range<Int>]
  ) throws(CoixError) {
    func part(from sender: Int, to receiver: Int) -> UnsafeMutableRawBufferPointer {
      guard sender != receiver else { return UnsafeMutableRawBufferPointer(start: nil, count: 0) }
      let common = held[sender].clamped(to: wanted[receiver])
      return UnsafeMutableRawBufferPointer(
        start: rows + common.lowerBound * unit, count: common.count * unit)
    }
    let isAny = (0..<count).contains { sender in
      (0..<count).contains { !part(from: sender, to: $0).isEmpty }
    }
    guard isAny else { return }
    try swap(
      (0..<count).map { UnsafeRawBufferPointer(part(from: index, to: $0)) },
      (0..<count).map { part(from: $0, to: index) })
  }
}
