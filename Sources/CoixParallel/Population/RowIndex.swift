import CoixKernels
import Synchronization

/// Row numbers by which tensors are gathered, shared by all tensors that were gathered together: either the
/// numbers themselves, or a product of two indices, which is computed when it is first read.
package final class RowIndex: Sendable {
  private enum Form: Sendable {
    case rows(Numbers<Int32>)
    case product(first: RowIndex, then: RowIndex)
  }

  /// The number of rows.
  let count: Int
  private let form: Mutex<Form>
  private let arrangement = Mutex<(targets: Int, arrangement: RowArrangement)?>(nil)
  /// Ranks that all have made it, each with the numbers of its own rows at least, and what they call it; nil for what a chunk has made.
  let sharing: (ranks: Ranks, name: RankName)?

  /// - Parameter ranks: those that all make it at this place of their program, if there are several.
  init(_ rows: Numbers<Int32>, by ranks: Ranks = .alone) {
    count = rows.count
    form = Mutex(.rows(rows))
    sharing = ranks.count > 1 ? (ranks, ranks.makeName()) : nil
    if let sharing { sharing.ranks.register(self, sharing.name) }
  }

  /// The row number of each of `count` rows.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``, also for a row beyond 2^31: numbers of rows take four
  ///   bytes.
  package convenience init(
    count: Int, by ranks: Ranks = .alone, for what: @autoclosure () -> String, _ row: (Int) -> Int
  ) throws(CoixError) {
    let rows = try Numbers<Int32>(count: count, for: what())
    var isNumbered = true
    rows.write {
      for position in 0..<count {
        let number = Int32(exactly: row(position))
        $0[position] = number ?? 0
        isNumbered = isNumbered && number != nil
      }
    }
    guard isNumbered else { throw CoixError.memory(what: "\(what()), with rows beyond 2^31,", bytes: .max) }
    self.init(rows, by: ranks)
  }

  /// The index of values that were gathered by `first`, and then by `then`.
  init(_ first: RowIndex, then: RowIndex) {
    count = then.count
    form = Mutex(.product(first: first, then: then))
    // In a chunk, it would have another name on another rank, whose chunks have come to this place before another meeting.
    let isCaller = ExecutionContext.current?.isCaller ?? true
    sharing = isCaller ? (first.sharing ?? then.sharing).map { ($0.ranks, $0.ranks.makeName()) } : nil
    if let sharing { sharing.ranks.register(self, sharing.name) }
  }

  deinit {
    if let sharing { sharing.ranks.forget(sharing.name) }
    // A loop releases a chain of products one after another: nested releases could overflow the stack.
    var next = takeTail()
    while var product = next {
      next = nil
      guard isKnownUniquelyReferenced(&product) else { return }
      next = product.takeTail()
    }
  }

  /// Takes the second factor out of a product whose numbers nobody will read any more; nil for an index that
  /// holds its numbers.
  private func takeTail() -> RowIndex? {
    form.withLock {
      guard case .product(let first, let then) = $0 else { return nil }
      $0 = .product(first: first, then: first)
      return then
    }
  }

  /// The factors of a product that is not computed yet; nil for an index that holds its numbers.
  var factors: (first: RowIndex, then: RowIndex)? {
    form.withLock { if case .product(let first, let then) = $0 { (first, then) } else { nil } }
  }

  /// The row numbers.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)`` if there is no memory for a product.
  package var rows: Numbers<Int32> {
    get throws(CoixError) {
      // Products share their second factors, so that the rows of many products take one multiplication each.
      // There is no recursion: a chain may be as long as a program has steps.
      var chain: [RowIndex] = []
      var next = self
      while true {
        switch next.form.withLock({ $0 }) {
        case .product(_, let then):
          chain.append(next)
          next = then
        case .rows(var rows):
          for product in chain.reversed() { rows = try product.multiplied(by: rows) }
          return rows
        }
      }
    }
  }

  /// The row numbers of a product, given those of its second factor.
  private func multiplied(by then: Numbers<Int32>) throws(CoixError) -> Numbers<Int32> {
    switch form.withLock({ $0 }) {
    case .rows(let rows): return rows
    case .product(let factor, _):
      let context = ExecutionContext.current
      context?.rowWork.compositions += 1
      return try ExecutionContext.asPartOfStep { () throws(CoixError) in
        let rows = try Self.product(of: try factor.rows, then)
        // Several workers may have computed it. All of them go on with the same numbers, which this index keeps:
        // what is recorded refers to them by their address.
        return form.withLock {
          if case .rows(let known) = $0 { return known }
          $0 = .rows(rows)
          return rows
        }
      }
    }
  }

  /// first[then[row]] of each row; of this rank's rows where the second factor has no others.
  private static func product(of first: Numbers<Int32>, _ then: Numbers<Int32>) throws(CoixError)
    -> Numbers<Int32>
  {
    let (firstRows, thenRows) = (first.rankRows?.ifInParts, then.rankRows?.ifInParts)
    if let firstRows {
      let readers =
        thenRows?.shares.all ?? Array(repeating: 0..<then.count, count: firstRows.shares.ranks.count)
      let fetch = RowFetch(firstRows, for: readers, through: then.pointer)
      _ = try fetch.run()
      ExecutionContext.current?.recording?.append(fetch)
    }
    let what = "the ancestors of \(then.count) rows"
    let rows =
      if let thenRows {
        Numbers<Int32>(
          in: try RankRows(
            thenRows.shares, unit: thenRows.unit, name: thenRows.shares.ranks.makeName(), for: what))
      } else { try Numbers<Int32>(count: then.count, for: what) }
    let own = thenRows?.shares.own ?? 0..<then.count
    coix_op_compose_rows(
      first.pointer, then.pointer + own.lowerBound, rows.pointer + own.lowerBound, own.count,
      ExecutionContext.team
    ).run()
    return rows
  }

  /// The numbers of all rows, on all ranks.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``; as ``RankRows/complete()``.
  var wholeRows: Numbers<Int32> {
    get throws(CoixError) {
      let rows = try rows
      try rows.rankRows?.complete()
      return rows
    }
  }

  /// Adds what tells the index from others, the same on all ranks.
  func add(to number: inout RankForm) {
    if let sharing {
      number.add(Int(sharing.name.meetings))
      number.add(Int(sharing.name.number))
    } else if let rows = try? rows {
      number.add(
        UnsafeRawBufferPointer(start: rows.pointer, count: rows.count * MemoryLayout<Int32>.stride))
    }
  }

  /// Whether this rank has the numbers of some rows, or can compute them by itself.
  func has(_ rows: Range<Int>) -> Bool {
    switch form.withLock({ $0 }) {
    case .rows(let numbers): numbers.rankRows?.has(rows, through: nil) ?? true
    case .product: isWhole
    }
  }

  /// Whether each rank has all numbers, or can compute them by itself: the same on all ranks.
  var isWhole: Bool {
    if case .product = form.withLock({ $0 }), sharing != nil { return false }
    return parts.isEmpty
  }

  /// The rows of ranks that the numbers are made of, and that ranks have their parts of.
  var parts: [RankRows] {
    var parts: [RankRows] = []
    var pending = [self]
    while let next = pending.popLast() {
      switch next.form.withLock({ $0 }) {
      case .rows(let numbers):
        if let rows = numbers.rankRows?.ifInParts, !parts.contains(where: { $0 === rows }) {
          parts.append(rows)
        }
      case .product(let first, let then): pending += [then, first]
      }
    }
    return parts
  }

  /// Whether the numbers of some rows, which this rank has, are all in a range; false if they are yet to be computed.
  func pointsInto(_ range: Range<Int>, from rows: Range<Int>) -> Bool {
    guard case .rows(let numbers) = form.withLock({ $0 }) else { return false }
    return coix_rows_are_within(
      numbers.pointer + rows.lowerBound, rows.count, Int32(clamping: range.lowerBound),
      Int32(clamping: range.upperBound)) != 0
  }

  /// How the rows lie, for the backward pass. They are looked through, and sorted if need be, once, however many
  /// tensors need them.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  func arrangement(targets: Int) throws(CoixError) -> RowArrangement {
    try arrangement.withLock { (known) throws(CoixError) -> RowArrangement in
      if let known, known.targets == targets { return known.arrangement }
      let made = try RowArrangement(self.wholeRows, targets: targets)
      known = (targets, made)
      return made
    }
  }
}

/// How often a caller's evaluations went through whole lists of row numbers.
package struct RowWork: Equatable, Sendable {
  /// Products of two indices that were computed.
  package var compositions = 0
  /// Indices that were not in order and had to be sorted, for a gradient.
  package var sorts = 0
  /// Tensors that are to be read through an index.
  package var views = 0
  /// Tensors whose rows were moved, after or between stages.
  package var gathers = 0
}
