import Synchronization

/// Rows that a chunk reads and that may be another rank's: those of a tensor, through an index if it has one.
struct RowNeed {
  /// nil for a tensor all of whose rows are on each rank.
  let rows: RankRows?
  let index: RowIndex?
  /// Whether all rows are to come to all ranks.
  private let isOfAll: Bool

  /// What reading a tensor needs; nothing for a tensor that all ranks have, read by numbers that they have.
  static func of(_ tensor: Tensor) -> [RowNeed] {
    guard !tensor.storage.isPlain else { return [] }
    let (rows, index) = (tensor.storage.rankRows, tensor.storage.mapping?.index)
    guard let index else { return rows.map { [RowNeed($0, nil, isOfAll: false)] } ?? [] }
    if index.sharing != nil { return [RowNeed(rows, index, isOfAll: false)] }
    // Ranks have no name for the index: each gets all that it is made of, and all rows.
    return (index.parts + (rows.map { [$0] } ?? [])).map { RowNeed($0, nil, isOfAll: true) }
  }

  private init(_ rows: RankRows?, _ index: RowIndex?, isOfAll: Bool) {
    (self.rows, self.index, self.isOfAll) = (rows, index, isOfAll)
  }

  /// Whether all is here that some rows read.
  ///
  /// - Parameter onAllRanks: whether all of it must be on all ranks, which is the same answer on each of them.
  func isMet(for readers: Range<Int>, onAllRanks: Bool) -> Bool {
    if onAllRanks || isOfAll { return rows?.isWhole ?? true && index?.isWhole ?? true }
    return rows?.has(readers, through: index) ?? index?.has(readers) ?? true
  }

  func isSame(as other: RowNeed) -> Bool {
    rows === other.rows && index === other.index && isOfAll == other.isOfAll
  }

  // MARK: Telling other ranks

  /// The names, as numbers.
  fileprivate var numbers: [Int32] {
    [rows?.name ?? .none, index?.sharing?.name ?? .none].flatMap(\.numbers) + [isOfAll ? 1 : 0]
  }
  fileprivate static let numberCount = 2 * RankName.numberCount + 1

  /// The need that has these names here.
  fileprivate init(_ numbers: [Int32], _ ranks: Ranks) throws(CoixError) {
    func thing<Thing>(_ first: Int, _ type: Thing.Type) throws(CoixError) -> Thing? {
      let name = RankName(numbers[first..<first + RankName.numberCount])
      guard name != .none else { return nil }
      guard let thing = ranks.thing(name) as? Thing else {
        throw CoixError.ranks(
          "a rank needs rows that another has let go of; all ranks must run the same program")
      }
      return thing
    }
    rows = try thing(0, RankRows.self)
    index = try thing(RankName.numberCount, RowIndex.self)
    isOfAll = numbers[2 * RankName.numberCount] == 1
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
    /// What chunks of a recorded step read, and the names of what of that the recording knows.
    var noted: [RowNeed] = []
    var recorded: [[Int32]] = []
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
    var needs = state.withLock { $0.lacking }.sorted { $0.numbers.lexicographicallyPrecedes($1.numbers) }
    let ranks = tasks.workers.ranks
    if tasks.ranks.count > 1 {
      let lists = try ranks.gather(needs.flatMap(\.numbers))
      needs = []
      for list in lists {
        for start in stride(from: 0, to: list.count, by: RowNeed.numberCount) {
          let need = try RowNeed(Array(list[start..<start + RowNeed.numberCount]), ranks)
          if !needs.contains(where: need.isSame) { needs.append(need) }
        }
      }
    }
    for need in needs {
      for call in try need.calls(for: tasks.shares?.all) { _ = try call.run() }
      if let readers = tasks.shares?.all { need.noteMet(for: readers[ranks.index]) }
    }
  }

  /// Notes, in a step's recording, that what its chunks read comes before they run.
  ///
  /// - Throws: as ``meet(for:)``.
  func record(in recording: Recording, for tasks: ChunkTasks) throws {
    let noted = state.withLock { state in
      let new = state.noted.filter { !state.recorded.contains($0.numbers) }
      state.noted = []
      state.recorded += new.map(\.numbers)
      return new
    }
    for need in noted.sorted(by: { $0.numbers.lexicographicallyPrecedes($1.numbers) }) {
      for call in try need.calls(for: tasks.shares?.all) { recording.append(call) }
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
    guard let readers, !isOfAll else {
      try numbers?.rankRows?.complete()
      try rows?.complete()
      return []
    }
    var calls: [RowFetch] = []
    if let parts = numbers?.rankRows?.ifInParts, parts.shares.all != readers {
      calls.append(RowFetch(parts, for: readers, through: nil))
    }
    if let parts = rows?.ifInParts, numbers != nil || parts.shares.all != readers {
      calls.append(RowFetch(parts, for: readers, through: numbers?.pointer))
    }
    return calls
  }

  /// Notes that it has come to this rank, for some readers.
  fileprivate func noteMet(for readers: Range<Int>) {
    if let numbers = try? index?.rows { numbers.rankRows?.noteFetched(readers, through: nil) }
    if !isOfAll { rows?.noteFetched(readers, through: index) }
  }

  /// Brings what a tensor needs to all ranks, outside of stages. All ranks call it.
  ///
  /// - Parameter readers: the rows for which each rank reads; nil for all.
  /// - Throws: what ranks throw; ``CoixError/memory(what:bytes:)``.
  static func bring(_ tensor: Tensor, to readers: [Range<Int>]?) throws(CoixError) {
    try bring(of(tensor), to: readers)
  }

  /// The same for the numbers of an index.
  static func bring(_ index: RowIndex, to readers: [Range<Int>]) throws(CoixError) {
    try bring([RowNeed(nil, index, isOfAll: false)], to: readers)
  }

  private static func bring(_ needs: [RowNeed], to readers: [Range<Int>]?) throws(CoixError) {
    for need in needs {
      for call in try need.calls(for: readers) {
        _ = try call.run()
        ExecutionContext.current?.recording?.append(call)
      }
    }
  }
}
