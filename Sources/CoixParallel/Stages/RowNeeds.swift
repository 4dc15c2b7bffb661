import Synchronization

/// Rows that a chunk reads and that may be another rank's: those of a tensor, through an index if it has one.
struct RowNeed {
  /// nil for a tensor all of whose rows are on each rank.
  let rows: RankRows?
  let index: RowIndex?
  /// Whether all ranks know the index by its name; if not, they need all rows.
  private let isNamed: Bool

  /// nil for a tensor that all ranks have, and read by numbers that they have.
  init?(of tensor: Tensor) {
    guard !tensor.storage.isPlain else { return nil }
    rows = tensor.storage.rankRows
    index = tensor.storage.mapping?.index
    isNamed = index == nil || index?.sharing != nil
    if rows == nil && index?.sharing == nil { return nil }
  }

  /// Whether all is here that some rows read.
  func isMet(for readers: Range<Int>) -> Bool {
    rows?.has(readers, through: index) ?? index?.has(readers) ?? true
  }

  func isSame(as other: RowNeed) -> Bool {
    rows === other.rows && index === other.index && isNamed == other.isNamed
  }

  // MARK: Telling other ranks

  private static let none = RankName(meetings: -1, number: 0)
  private static let unnamed = RankName(meetings: -2, number: 0)

  /// The names, as numbers.
  fileprivate var numbers: [Int32] {
    let indexName = isNamed ? index?.sharing?.name ?? Self.none : Self.unnamed
    return [rows?.name ?? Self.none, indexName].flatMap { name in
      [Int32(truncatingIfNeeded: name.meetings >> 32), Int32(truncatingIfNeeded: name.meetings), name.number]
    }
  }
  fileprivate static let numberCount = 6

  /// The need that has these names here.
  fileprivate init(_ numbers: ArraySlice<Int32>, _ ranks: Ranks) throws(CoixError) {
    let start = numbers.startIndex
    func name(_ first: Int) -> RankName {
      let meetings =
        Int64(numbers[start + first]) << 32 | Int64(UInt32(bitPattern: numbers[start + first + 1]))
      return RankName(meetings: meetings, number: numbers[start + first + 2])
    }
    func thing(_ name: RankName) throws(CoixError) -> (any AnyObject & Sendable)? {
      guard name.meetings >= 0 else { return nil }
      guard let thing = ranks.thing(name) else {
        throw CoixError.ranks(
          "a rank needs rows that another has let go of; all ranks must run the same program")
      }
      return thing
    }
    rows = try thing(name(0)) as? RankRows
    index = try thing(name(3)) as? RowIndex
    isNamed = name(3) != Self.unnamed
  }
}

/// What a stage's chunks need of other ranks, and the tasks that wait for it.
///
/// Workers don't communicate. A chunk that needs rows of other ranks ends, and its task is run again when the ranks have exchanged
/// them; the tasks that are yet to come wait, too.
final class RowNeeds: Sendable {
  private struct State {
    var lacking: [RowNeed] = []
    var waiting: [Int] = []
    /// All that chunks of a recorded step read.
    var noted: [RowNeed] = []
  }
  private let state = Mutex(State())
  private let isLacking = Atomic<Bool>(false)

  /// Whether a chunk lacks rows.
  var isAny: Bool { isLacking.load(ordering: .relaxed) }

  /// Has a task wait, for rows that one of its chunks lacks, or with others.
  func wait(_ task: Int, for lacking: [RowNeed] = []) {
    state.withLock { state in
      state.waiting.append(task)
      for need in lacking where !state.lacking.contains(where: need.isSame) { state.lacking.append(need) }
    }
    if !lacking.isEmpty { isLacking.store(true, ordering: .relaxed) }
  }

  /// Notes what a chunk of a recorded step reads.
  func note(_ needs: [RowNeed]) {
    state.withLock { state in
      for need in needs where !state.noted.contains(where: need.isSame) { state.noted.append(need) }
    }
  }

  /// The tasks that wait, in their order, which then no longer do.
  func takeWaiting() -> [Int] {
    isLacking.store(false, ordering: .relaxed)
    return state.withLock { state in
      defer { (state.waiting, state.lacking) = ([], []) }
      return state.waiting.sorted()
    }
  }

  /// Brings here what chunks of any rank lack. All ranks call it.
  ///
  /// - Throws: what ranks throw; ``CoixError/memory(what:bytes:)``.
  func meet(for tasks: ChunkTasks) throws {
    var needs = state.withLock { $0.lacking }
    let ranks = tasks.workers.ranks
    if tasks.ranks.count > 1 {
      let lists = try ranks.gather(needs.flatMap(\.numbers))
      needs = []
      for list in lists {
        for start in stride(from: 0, to: list.count, by: RowNeed.numberCount) {
          let need = try RowNeed(list[start..<start + RowNeed.numberCount], ranks)
          if !needs.contains(where: need.isSame) { needs.append(need) }
        }
      }
    }
    for need in needs {
      for call in try need.calls(for: tasks.readers) { _ = try call.run() }
      if let readers = tasks.readers { need.noteMet(for: readers[ranks.index]) }
    }
  }

  /// Notes, in a step's recording, that what its chunks read comes before they run.
  ///
  /// - Throws: as ``meet(for:)``.
  func record(in recording: Recording, for tasks: ChunkTasks) throws {
    let noted = state.withLock { state in
      defer { state.noted = [] }
      return state.noted
    }
    for need in noted.sorted(by: { $0.numbers.lexicographicallyPrecedes($1.numbers) }) {
      for call in try need.calls(for: tasks.readers) { recording.append(call) }
    }
  }
}

extension RowNeed {
  /// What brings it to the ranks.
  ///
  /// - Parameter readers: the rows for which each rank reads; nil for all. What is brought whole is there when this returns, and in the
  ///   recording.
  fileprivate func calls(for readers: [Range<Int>]?) throws(CoixError) -> [RowFetch] {
    let numbers = try index?.rows
    guard let readers, isNamed || rows?.ifInParts == nil else {
      try numbers?.rankRows?.complete()
      try rows?.complete()
      return []
    }
    var calls: [RowFetch] = []
    if let parts = numbers?.rankRows?.ifInParts, parts.shares.all != readers {
      calls.append(RowFetch(parts.shares, [.init(parts)], for: readers, through: nil))
    }
    if let parts = rows?.ifInParts, numbers != nil || parts.shares.all != readers {
      calls.append(RowFetch(parts.shares, [.init(parts)], for: readers, through: numbers?.pointer))
    }
    return calls
  }

  /// Notes that it has come to this rank, for some readers.
  fileprivate func noteMet(for readers: Range<Int>) {
    if let numbers = try? index?.rows { numbers.rankRows?.noteFetched(readers, through: nil) }
    rows?.noteFetched(readers, through: index)
  }

  /// Brings it to all ranks, outside of stages. All ranks call it.
  ///
  /// - Throws: what ranks throw; ``CoixError/memory(what:bytes:)``.
  func bring(to readers: [Range<Int>]) throws(CoixError) {
    for call in try calls(for: readers) {
      _ = try call.run()
      ExecutionContext.current?.recording?.append(call)
    }
  }
}
