import CoixKernels
import Foundation
import Synchronization

/// Memory for all rows of a plate of which this rank holds its own, and others that it was sent.
///
/// Rows lie at the same places on all ranks, so that indices and kernels need not know of ranks. The system gives memory to what is
/// written alone: a rank takes as much as it holds. They may lie in a file that ranks write together.
final class RankRows: MemoryOwner, @unchecked Sendable {
  // @unchecked: rows are written by the chunks that own them before others see the memory, and by exchanges, which run while
  // no worker does.

  let shares: RowShares
  /// The bytes of a row.
  let unit: Int
  /// What all ranks call it. What chunks have made has no name before ``takeName()``.
  private(set) var name: RankName
  /// The file in which they lie, if they do.
  let file: FileMemory?
  private let mappedBytes: Int

  private struct State {
    var isWhole = false
    /// Rows besides this rank's own that have come: those that an index points to for a range of rows; without an
    /// index, the range itself.
    var fetched: [Fetched] = []
  }
  private struct Fetched {
    weak var index: RowIndex?
    let hadIndex: Bool
    let readers: Range<Int>
  }
  private let state = Mutex(State())

  /// Rows in memory.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  convenience init(
    _ shares: RowShares, unit: Int, name: RankName = .none, for what: @autoclosure () -> String
  ) throws(CoixError) {
    let (bytes, overflow) = shares.count.multipliedReportingOverflow(by: unit)
    let padded = bytes &+ Int(COIX_LANES) * MemoryLayout<Float>.stride
    let share = Double(shares.own.count) * Double(unit)
    guard !overflow, share <= Double(Memory.physical), let buffer = Memory.addresses(bytes: padded) else {
      throw CoixError.memory(what: what(), bytes: share < 0x1p62 ? Int(share) : .max)
    }
    self.init(shares, unit: unit, name: name, at: buffer, bytes: padded, nil)
  }

  /// Rows in a file.
  convenience init(_ shares: RowShares, unit: Int, name: RankName, in file: FileMemory) {
    self.init(shares, unit: unit, name: name, at: file.address, bytes: 0, file)
  }

  private init(
    _ shares: RowShares, unit: Int, name: RankName, at address: UnsafeMutableRawPointer, bytes: Int,
    _ file: FileMemory?
  ) {
    (self.shares, self.unit, self.name, mappedBytes, self.file) = (shares, unit, name, bytes, file)
    super.init(address: address)
    if name != .none { shares.ranks.register(self, name) }
  }

  /// Gives it a name, on all ranks at the same place.
  func takeName() {
    name = shares.ranks.makeName()
    shares.ranks.register(self, name)
  }

  deinit {
    shares.ranks.forget(name)
    if file == nil { munmap(address, mappedBytes) }
  }

  /// Whether all rows are here.
  var isWhole: Bool { state.withLock { $0.isWhole } }

  /// The memory that the rows take which this rank is to have: its own, or all.
  var bytes: Int { (isWhole ? shares.count : shares.own.count) * unit }

  /// Itself, unless all rows are here.
  var ifInParts: RankRows? { isWhole ? nil : self }

  /// Whether all those rows are here that some rows read.
  ///
  /// - Parameter index: which rows they read; nil for their own.
  func has(_ readers: Range<Int>, through index: RowIndex?) -> Bool {
    if isWhole { return index?.has(readers) ?? true }
    if index?.has(readers) == false { return false }
    let isFetched = state.withLock { state in
      state.fetched.contains {
        $0.hadIndex == (index != nil) && (!$0.hadIndex || $0.index === index)
          && $0.readers.lowerBound <= readers.lowerBound && readers.upperBound <= $0.readers.upperBound
      }
    }
    if isFetched { return true }
    let own = shares.own
    guard let index else {
      return own.lowerBound <= readers.lowerBound && readers.upperBound <= own.upperBound
    }
    return index.pointsInto(own, from: readers)
  }

  /// Notes that the rows have come which some rows of this rank read.
  func noteFetched(_ readers: Range<Int>, through index: RowIndex?) {
    guard !has(readers, through: index) else { return }
    state.withLock { state in
      state.fetched.removeAll { $0.hadIndex && $0.index == nil }
      state.fetched.append(Fetched(index: index, hadIndex: index != nil, readers: readers))
    }
  }

  /// Brings all rows to all ranks, unless they are there. All ranks call it.
  ///
  /// - Throws: what ranks throw; ``CoixError/misplacedTensor(operation:reason:)`` within a chunk.
  func complete() throws(CoixError) {
    guard !isWhole else { return }
    let context = ExecutionContext.current
    guard context?.isCaller ?? true else {
      throw CoixError.misplacedTensor(
        operation: "ranks",
        reason: "values of all particles are read within a program, where they are not to be had")
    }
    try Memory.bytes(shares.count, of: unit, for: "all \(shares.count) rows on each rank")
    let exchange = WholeRows(self)
    _ = try exchange.run()
    context?.recording?.append(exchange)
    state.withLock { $0 = State(isWhole: true) }
  }
}

/// What ranks call something that each of them has made at the same place of the same program.
struct RankName: Hashable, Sendable {
  /// How often the ranks had met before.
  let meetings: Int64
  /// Its number among what was made since.
  let number: Int32

  init(meetings: Int64, number: Int32) { (self.meetings, self.number) = (meetings, number) }

  /// The name of nothing.
  static let none = RankName(meetings: -1, number: 0)

  // MARK: As numbers

  static let numberCount = 3
  var numbers: [Int32] {
    [Int32(truncatingIfNeeded: meetings >> 32), Int32(truncatingIfNeeded: meetings), number]
  }
  init(_ numbers: ArraySlice<Int32>) {
    let start = numbers.startIndex
    meetings = Int64(numbers[start]) << 32 | Int64(UInt32(bitPattern: numbers[start + 1]))
    number = numbers[start + 2]
  }

  /// A number that stands for the name.
  var form: UInt64 {
    var form = RankForm()
    form.add(Int(meetings))
    form.add(Int(number))
    return form.value
  }
}

/// All rows come to all ranks.
final class WholeRows: RecordedCall {
  private let shares: RowShares
  private var address: UnsafeMutableRawPointer
  private let unit: Int
  /// What tells the rows from others.
  private let form: UInt64

  init(_ rows: RankRows) {
    (shares, address, unit, form) = (rows.shares, rows.address, rows.unit, rows.name.form)
  }

  var reads: [UnsafeRawPointer] { [UnsafeRawPointer(address)] }
  var writes: [UnsafeMutableRawPointer] { [address] }
  var ranks: Ranks { shares.ranks }
  func move(_ target: (UnsafeRawPointer) -> UnsafeMutableRawPointer?) { address = target(address) ?? address }
  func add(to number: inout RankForm) { number.add(Int(truncatingIfNeeded: form)) }

  func run() throws(CoixError) -> Bool {
    try ranks.meet(at: .rows, size: shares.count, form: form)
    try ranks.gather(parts: address, counts: shares.all.map(\.count), unit: unit)
    return true
  }
}
