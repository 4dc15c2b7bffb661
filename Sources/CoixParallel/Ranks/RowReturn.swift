import CoixKernels
import Foundation

/// Sends the gradients of gathered rows back to the ranks that have the rows which they were gathered from. There they
/// are added up in the order of the gathered rows, as one rank adds them up.
final class RowReturn: RecordedCall {
  /// Gradients of gathered rows, and the sums of those of each row that they were gathered from.
  private struct Column {
    var gradients: UnsafeMutablePointer<Float>
    var sums: UnsafeMutablePointer<Float>
    let width: Int
    var unit: Int { width * MemoryLayout<Float>.stride }
  }

  /// Whose gathered rows are whose, and whose rows that they were gathered from: their targets.
  private let readers: RowShares
  private let targets: RowShares
  /// The target of each gathered row; and whether each rank has those of all rows.
  private var index: UnsafeMutablePointer<Int32>
  private let hasWholeIndex: Bool
  private var columns: [Column]
  /// What tells them from others.
  private let form: UInt64
  private let team: Int32

  /// - Parameters:
  ///   - gradients: tensors over all gathered rows and over all targets, of which this rank has its own rows.
  ///   - index: has the numbers of this rank's gathered rows at least.
  init(
    of gradients: [(gathered: Tensor, sums: Tensor)], by index: Numbers<Int32>, from readers: RowShares,
    to targets: RowShares, team: Int32
  ) {
    (self.readers, self.targets, self.team) = (readers, targets, team)
    self.index = index.pointer
    hasWholeIndex = index.rankRows?.isWhole ?? true
    columns = gradients.map {
      Column(
        gradients: $0.gathered.pointer, sums: $0.sums.pointer,
        width: $0.gathered.shape.dropping(1).elementCount)
    }
    var form = RankForm()
    for (gathered, _) in gradients {
      form.add(Int(truncatingIfNeeded: gathered.storage.rankRows?.name.form ?? 0))
    }
    form.add([hasWholeIndex])
    self.form = form.value
  }

  var ranks: Ranks { readers.ranks }
  var reads: [UnsafeRawPointer] {
    [UnsafeRawPointer(index)] + columns.map { UnsafeRawPointer($0.gradients) }
  }
  var writes: [UnsafeMutableRawPointer] { columns.map { UnsafeMutableRawPointer($0.sums) } }
  func narrow(_ isNeeded: (UnsafeRawPointer) -> Bool) { columns.removeAll { !isNeeded($0.sums) } }
  func move(_ target: (UnsafeRawPointer) -> UnsafeMutableRawPointer?) {
    index.follow(target)
    for column in columns.indices {
      columns[column].gradients.follow(target)
      columns[column].sums.follow(target)
    }
  }
  func add(to number: inout RankForm) {
    number.add(Int(truncatingIfNeeded: form))
    for column in columns { number.add(column.width) }
  }

  func run() throws -> Bool {
    try ranks.meet(at: .rows, size: readers.count, form: form)
    let routes = try Routes(index, readers, targets)
    if routes.ascend { try addUpRuns(routes) } else { try addUpPairs(routes) }
    return true
  }

  /// Adds up the rows of an index that ascends. The rows that go to a rank follow each other, and come to their own
  /// places.
  private func addUpRuns(_ routes: Routes) throws(CoixError) {
    let wanted = routes.runs
    if !hasWholeIndex {
      try ranks.spread(index, unit: MemoryLayout<Int32>.stride, held: readers.all, wanted: wanted)
    }
    let (rows, own) = (wanted[ranks.index], targets.own)
    for column in columns {
      try ranks.spread(column.gradients, unit: column.unit, held: readers.all, wanted: wanted)
      coix_scatter_add_runs(
        column.gradients + rows.lowerBound * column.width, index + rows.lowerBound, column.sums,
        own.lowerBound, own.upperBound, rows.count, column.width, team)
    }
  }

  /// Adds up rows in any order: each goes to its target's rank together with the target's number.
  private func addUpPairs(_ routes: Routes) throws {
    let (own, sent, taken) = (targets.own, routes.sent(by: ranks.index), routes.taken(by: ranks.index))
    let (sentCount, takenCount) = (readers.own.count, taken[ranks.count])
    let width = columns.map(\.width).max() ?? 0
    let bytes =
      (sentCount + 2 * takenCount + own.count + 1) * MemoryLayout<Int32>.stride
      + (sentCount + takenCount) * width * MemoryLayout<Float>.stride
    var scratch: UnsafeMutableRawPointer?
    defer { free(scratch) }
    _ = try ranks.share(.gradients, size: readers.count) {
      scratch = Memory.buffer(bytes: bytes)
      if scratch == nil { throw CoixError.memory(what: "gradients that ranks exchange", bytes: bytes) }
      return 0
    }
    guard var rest = scratch else { return }
    func take<Number>(_ count: Int, _ type: Number.Type) -> UnsafeMutablePointer<Number> {
      defer { rest += count * MemoryLayout<Number>.stride }
      return rest.bindMemory(to: type, capacity: count)
    }
    let (sentTargets, takenTargets) = (take(sentCount, Int32.self), take(takenCount, Int32.self))
    let (order, offsets) = (take(takenCount, Int32.self), take(own.count + 1, Int32.self))
    let (sentRows, takenRows) = (take(sentCount * width, Float.self), take(takenCount * width, Float.self))
    let size = MemoryLayout<Int32>.stride
    try send(index, unit: size, through: sentTargets, to: takenTargets, sent, taken)
    for row in 0..<takenCount { takenTargets[row] -= Int32(own.lowerBound) }
    coix_sort_rows(takenTargets, takenCount, own.count, order, offsets)
    for column in columns {
      try send(column.gradients, unit: column.unit, through: sentRows, to: takenRows, sent, taken)
      coix_scatter_add_rows(
        takenRows, order, offsets, column.sums + own.lowerBound * column.width, own.count, column.width,
        team)
    }
  }

  /// Sends something of each of this rank's gathered rows to its target's rank, and gets what others send: one rank's
  /// after another's, each in the order of the rows.
  ///
  /// - Parameters:
  ///   - packed: room for what this rank sends.
  ///   - result: room for what it gets.
  ///   - sent: where in `packed` each rank's part starts, in rows; then the end.
  ///   - taken: the same for `result`.
  private func send(
    _ rows: UnsafeRawPointer, unit: Int, through packed: UnsafeMutableRawPointer,
    to result: UnsafeMutableRawPointer, _ sent: [Int], _ taken: [Int]
  ) throws(CoixError) {
    var next = sent
    for row in readers.own {
      let rank = targets.rank(of: Int(index[row]))
      (packed + next[rank] * unit).copyMemory(from: rows + row * unit, byteCount: unit)
      next[rank] += 1
    }
    func part(_ base: UnsafeMutableRawPointer, _ starts: [Int], _ rank: Int) -> UnsafeMutableRawBufferPointer
    {
      UnsafeMutableRawBufferPointer(
        start: base + starts[rank] * unit, count: (starts[rank + 1] - starts[rank]) * unit)
    }
    let all = 0..<ranks.count
    part(result, taken, ranks.index).copyMemory(
      from: UnsafeRawBufferPointer(part(packed, sent, ranks.index)))
    try ranks.swap(
      all.map { UnsafeRawBufferPointer(part(packed, sent, $0)) }, all.map { part(result, taken, $0) })
  }
}

/// Which gathered rows go to which ranks.
private struct Routes {
  /// Whether the targets of all gathered rows ascend.
  let ascend: Bool
  /// [from][to]: how many rows go.
  private let counts: [[Int]]

  /// Learns from all ranks what their rows' targets are. They have come together.
  init(_ index: UnsafePointer<Int32>, _ readers: RowShares, _ targets: RowShares) throws(CoixError) {
    let (ranks, own) = (readers.ranks, readers.own)
    let rows = UnsafeBufferPointer(start: index + own.lowerBound, count: own.count)
    let ascends = coix_ascends(index + own.lowerBound, own.count) != 0
    // Of each rank: whether its targets ascend, the first and the last of them, and how many are each rank's.
    let size = 3 + ranks.count
    var all = [Int32](repeating: 0, count: ranks.count * size)
    let start = ranks.index * size
    all[start] = ascends ? 1 : 0
    if let first = rows.first, let last = rows.last { (all[start + 1], all[start + 2]) = (first, last) }
    if ascends {
      let borders = targets.borders.map { border in rows.firstIndex(ascendingTo: border) }
      for rank in 0..<ranks.count { all[start + 3 + rank] = Int32(borders[rank + 1] - borders[rank]) }
    } else {
      for row in rows { all[start + 3 + targets.rank(of: Int(row))] += 1 }
    }
    try ranks.gather(&all, counts: Array(repeating: size, count: ranks.count))
    let told = (0..<ranks.count).map { all[$0 * size..<($0 + 1) * size].map { Int($0) } }
    counts = told.map { Array($0.dropFirst(3)) }
    let full = told.indices.filter { !readers.rows(of: $0).isEmpty }
    ascend =
      told.allSatisfy { $0[0] == 1 } && zip(full, full.dropFirst()).allSatisfy { told[$0][2] <= told[$1][1] }
  }

  /// Where an index ascends: the gathered rows that go to each rank.
  var runs: [Range<Int>] {
    var start = 0
    return counts.indices.map { rank in
      let end = start + counts.reduce(0) { $0 + $1[rank] }
      defer { start = end }
      return start..<end
    }
  }

  /// Of the rows that a rank sends, one rank's after another's: where those to each rank start; then how many they are.
  func sent(by rank: Int) -> [Int] { counts[rank].reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) } }

  /// The same of the rows that a rank gets.
  func taken(by rank: Int) -> [Int] { counts.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1[rank]) } }
}

extension UnsafeBufferPointer<Int32> {
  /// In ascending numbers, the position of the first that is not less than `number`; their count if all are.
  func firstIndex(ascendingTo number: Int) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if Int(self[middle]) >= number { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
