import CoixKernels
import Foundation

/// Memory that the ranks' chunks write together: each rank its part, which then goes to all of them.
enum RankExchange {
  /// A row-major tensor over the plate's rows, with so many numbers for each.
  case rows(UnsafeMutablePointer<Float>, elements: Int)
  /// [chunk]: so many sums.
  case sums(UnsafeMutablePointer<Double>, count: Int)

  var address: UnsafeRawPointer {
    switch self {
    case .rows(let pointer, _): UnsafeRawPointer(pointer)
    case .sums(let pointer, _): UnsafeRawPointer(pointer)
    }
  }

  /// How many numbers a row or a chunk has.
  var numbersPerRow: Int {
    switch self {
    case .rows(_, let elements): elements
    case .sums(_, let count): count
    }
  }

  /// The same at another address; nil stays.
  func moved(to address: UnsafeMutableRawPointer?) -> RankExchange {
    guard let address else { return self }
    return switch self {
    case .rows(_, let elements): .rows(address.assumingMemoryBound(to: Float.self), elements: elements)
    case .sums(_, let count): .sums(address.assumingMemoryBound(to: Double.self), count: count)
    }
  }
}

/// Thrown where rows of other ranks have come, and another task has had an error: the stage runs anew, to find the first error.
private struct RowsHaveCome: Error {}

/// Runs some work, and again whenever rows of other ranks have come that it needs.
func untilRowsHaveCome<Result>(_ work: () throws -> Result) throws -> Result {
  while true { do { return try work() } catch is RowsHaveCome {} }
}

extension ChunkTasks {
  /// Runs this rank's part of the stage: again and again those tasks that lacked rows of other ranks, when these have come. With other
  /// ranks, comes together with them: see ``Ranks/share(_:size:lacks:_:)``.
  ///
  /// - Parameters:
  ///   - form: a number that stands for what the part has found, if somebody asks.
  ///   - part: runs some tasks; nil for all of this rank's.
  /// - Returns: whether all ranks have found the same.
  /// - Throws: what the part throws; an error for ``untilRowsHaveCome(_:)`` if all of it is to be run anew.
  func share(
    _ place: RankPlace, _ needs: RowNeeds, form: () throws -> UInt64, _ part: (_ list: [Int]?) throws -> Void
  ) throws -> Bool {
    var list: [Int]?
    while true {
      switch try outcome(place, needs, { try part(list) }, form) {
      case .same: return true
      case .different: return false
      case .lacking(let hasFailed):
        try needs.meet(for: self)
        if hasFailed { throw RowsHaveCome() }
        list = needs.takeWaiting()
      }
    }
  }

  private func outcome(
    _ place: RankPlace, _ needs: RowNeeds, _ part: () throws -> Void, _ form: () throws -> UInt64
  ) throws -> Ranks.Outcome {
    guard ranks.count == 1 else {
      func lacks() -> Bool { needs.isAny }
      return try ranks.share(place, size: chunkCount, lacks: lacks) {
        try part()
        return needs.isAny ? 0 : try form()
      }
    }
    // Where each rank runs all tasks, all of them lack the same: what is not whole.
    do { try part() } catch {
      guard needs.isAny else { throw error }
      return .lacking(hasFailed: true)
    }
    return needs.isAny ? .lacking(hasFailed: false) : .same
  }

  /// Brings together what the ranks' chunks have written. They have come together, and agree on what that is.
  ///
  /// - Throws: what ranks throw; ``CoixError/memory(what:bytes:)``.
  func gather(_ exchanges: @autoclosure () -> [RankExchange]) throws {
    guard ranks.count > 1 else { return }
    for exchange in exchanges() {
      switch exchange {
      case .rows(let rows, let elements): try gather(rows: rows, elements)
      case .sums(let sums, let count):
        try ranks.gather(
          parts: sums, counts: (0..<ranks.count).map { chunks(of: $0).count },
          unit: count * MemoryLayout<Double>.stride)
      }
    }
  }

  private func gather(rows: UnsafeMutablePointer<Float>, _ elements: Int) throws {
    let counts = (0..<ranks.count).map { rank in
      chunks(of: rank).reduce(0) { $0 + self.rows(of: $1).count }
    }
    let unit = elements * MemoryLayout<Float>.stride
    if grid?.isInRowOrder ?? true { return try ranks.gather(parts: rows, counts: counts, unit: unit) }
    // The rows of a rectangle don't follow each other: they travel chunk by chunk.
    let packed = try ranks.scratch(bytes: counts.reduce(0, +) * unit, for: "what ranks exchange")
    defer { free(packed) }
    func forEachRun(
      of rank: Int, _ body: (_ packed: UnsafeMutableRawPointer, _ row: Int, _ count: Int) -> Void
    ) {
      var position = counts.prefix(rank).reduce(0, +)
      for chunk in chunks(of: rank) {
        let own = self.rows(of: chunk)
        for particle in 0..<own.particles.count {
          body(packed + position * unit, own.number(particle * own.instances.count), own.instances.count)
          position += own.instances.count
        }
      }
    }
    forEachRun(of: ranks.index) { $0.copyMemory(from: rows + $1 * elements, byteCount: $2 * unit) }
    try ranks.gather(parts: packed, counts: counts, unit: unit)
    for rank in 0..<ranks.count where rank != ranks.index {
      forEachRun(of: rank) { packed, row, count in
        (rows + row * elements).update(
          from: packed.assumingMemoryBound(to: Float.self), count: count * elements)
      }
    }
  }

  /// The numbers in the lists of all ranks, in the order in which they are first met.
  ///
  /// - Throws: what ranks throw.
  func union(of list: [Int32]) throws -> [Int32] {
    guard ranks.count > 1 else { return list }
    var form = RankForm()
    for number in list { form.add(Int(number)) }
    if try ranks.share(.gradients, size: chunkCount, { form.value }) { return list }
    let lists = try ranks.gather(list)
    return lists.joined().reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }
}
