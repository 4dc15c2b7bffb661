import CoixKernels
import Foundation

/// Rows that ranks read and do not hold come to them: each distinct row once.
final class RowFetch: RecordedCall {
  /// Whose the rows are, where they lie, and the bytes of one.
  private let shares: RowShares
  private var address: UnsafeMutableRawPointer
  private let unit: Int
  /// What tells them from others.
  private let form: UInt64
  /// For each rank, the rows for which it reads them.
  private let readers: [Range<Int>]
  /// Which of the rows each of these reads; nil for the row of its own number.
  private var index: UnsafeMutablePointer<Int32>?

  init(_ rows: RankRows, for readers: [Range<Int>], through index: UnsafeMutablePointer<Int32>?) {
    (shares, address, unit, form) = (rows.shares, rows.address, rows.unit, rows.name.form)
    (self.readers, self.index) = (readers, index)
  }

  var ranks: Ranks { shares.ranks }
  var reads: [UnsafeRawPointer] {
    [UnsafeRawPointer(address)] + (index.map { [UnsafeRawPointer($0)] } ?? [])
  }
  var writes: [UnsafeMutableRawPointer] { [address] }
  func move(_ target: (UnsafeRawPointer) -> UnsafeMutableRawPointer?) {
    address = target(address) ?? address
    index?.follow(target)
  }
  func add(to number: inout RankForm) {
    number.add(Int(truncatingIfNeeded: form))
    number.add([index == nil])
  }

  func run() throws(CoixError) -> Bool {
    guard let index else {
      try ranks.meet(at: .rows, size: shares.count, form: form)
      try ranks.spread(address, unit: unit, held: shares.all, wanted: readers)
      return true
    }
    let lists = try RowLists(shares, readers[ranks.index], index, form: form)
    if lists.areNeeded { try lists.bring(address, unit: unit) }
    return true
  }
}

/// Which rows each rank sends to which.
private final class RowLists {
  private let ranks: Ranks
  /// The rows that this rank is to get, one rank's after another's, and where each rank's start.
  private let wanted: UnsafeMutableBufferPointer<Int32>
  private let wantedStarts: [Int]
  /// The rows that it is to send, in the same way.
  private let asked: UnsafeMutableBufferPointer<Int32>
  private let askedStarts: [Int]
  /// Whether any rank wants any.
  let areNeeded: Bool

  /// Finds what this rank wants, and learns what others do.
  init(_ shares: RowShares, _ readers: Range<Int>, _ index: UnsafePointer<Int32>, form: UInt64)
    throws(CoixError)
  {
    let ranks = shares.ranks
    self.ranks = ranks
    let (count, own) = (ranks.count, ranks.index)
    wanted = try Self.wanted(shares, readers, index)
    let rows = UnsafeBufferPointer(wanted)
    wantedStarts = shares.borders.map { rows.firstIndex(ascendingTo: $0) }
    // [reader * count + holder]: how many rows a rank wants of another.
    var counts = [Int32](repeating: 0, count: count * count)
    for rank in 0..<count {
      counts[own * count + rank] = Int32(clamping: wantedStarts[rank + 1] - wantedStarts[rank])
    }
    do throws(CoixError) {
      try ranks.meet(at: .rows, size: count, form: form)
      try ranks.gather(&counts, counts: Array(repeating: count, count: count))
      askedStarts = (0..<count).reduce(into: [0]) { $0.append($0[$1] + Int(counts[$1 * count + own])) }
      asked = try Self.list(of: askedStarts[count], ranks)
    } catch {
      free(wanted.baseAddress)
      throw error
    }
    areNeeded = counts.contains { $0 > 0 }
    guard areNeeded else { return }
    let targets = parts(UnsafeMutableRawPointer(asked.baseAddress), askedStarts, 4)
    try ranks.swap(
      parts(UnsafeMutableRawPointer(wanted.baseAddress), wantedStarts, 4).map { UnsafeRawBufferPointer($0) },
      targets)
  }

  deinit {
    free(wanted.baseAddress)
    free(asked.baseAddress)
  }

  private static func list(of count: Int, _ ranks: Ranks) throws(CoixError)
    -> UnsafeMutableBufferPointer<Int32>
  {
    let memory = try ranks.scratch(
      bytes: count * MemoryLayout<Int32>.stride, for: "the rows that ranks need of each other")
    return UnsafeMutableBufferPointer(start: memory.bindMemory(to: Int32.self, capacity: count), count: count)
  }

  /// The rows of other ranks that an index points to, ascending.
  private static func wanted(_ shares: RowShares, _ readers: Range<Int>, _ index: UnsafePointer<Int32>)
    throws(CoixError) -> UnsafeMutableBufferPointer<Int32>
  {
    let (own, start) = (shares.own, index + readers.lowerBound)
    let (first, end) = (Int32(clamping: own.lowerBound), Int32(clamping: own.upperBound))
    var rows = try list(of: coix_rows_elsewhere(start, readers.count, first, end, nil), shares.ranks)
    coix_rows_elsewhere(start, readers.count, first, end, rows.baseAddress)
    if zip(rows, rows.dropFirst()).allSatisfy(<) { return rows }
    rows.sort()
    var count = 0
    for row in rows where count == 0 || rows[count - 1] != row {
      rows[count] = row
      count += 1
    }
    return UnsafeMutableBufferPointer(start: rows.baseAddress, count: count)
  }

  /// Each rank's part of what lies in a row.
  private func parts(_ base: UnsafeMutableRawPointer?, _ starts: [Int], _ unit: Int)
    -> [UnsafeMutableRawBufferPointer]
  {
    (0..<ranks.count).map { rank in
      UnsafeMutableRawBufferPointer(
        start: base.map { $0 + starts[rank] * unit }, count: (starts[rank + 1] - starts[rank]) * unit)
    }
  }

  /// Sends and gets the rows of `unit` bytes each of an array.
  func bring(_ rows: UnsafeMutableRawPointer, unit: Int) throws(CoixError) {
    let buffer = try ranks.scratch(
      bytes: (wanted.count + asked.count) * unit, for: "rows that ranks exchange")
    defer { free(buffer) }
    let packed = buffer + wanted.count * unit
    for (number, row) in asked.enumerated() {
      (packed + number * unit).copyMemory(from: rows + Int(row) * unit, byteCount: unit)
    }
    try ranks.swap(
      parts(packed, askedStarts, unit).map { UnsafeRawBufferPointer($0) }, parts(buffer, wantedStarts, unit))
    for (number, row) in wanted.enumerated() {
      (rows + Int(row) * unit).copyMemory(from: buffer + number * unit, byteCount: unit)
    }
  }
}
