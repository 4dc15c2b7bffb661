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
  init(_ rows: Numbers<Int32>) {
    count = rows.count
    form = Mutex(.rows(rows))
  }

  /// The row number of each of `count` rows.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``, also for a row beyond 2^31: numbers of rows take four
  ///   bytes.
  package convenience init(
    count: Int, for what: @autoclosure () -> String, _ row: (Int) -> Int
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
    self.init(rows)
  }

  /// The index of values that were gathered by `first`, and then by `then`.
  init(_ first: RowIndex, then: RowIndex) {
    count = then.count
    form = Mutex(.product(first: first, then: then))
  }

  deinit {
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
      let team = ExecutionContext.team
      return try ExecutionContext.asPartOfStep { () throws(CoixError) in
        let first = try factor.rows
        let rows = try Numbers<Int32>(count: count, for: "the ancestors of \(count) rows")
        coix_op_compose_rows(first.pointer, then.pointer, rows.pointer, count, team).run()
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

  /// How the rows lie, for the backward pass. They are looked through, and sorted if need be, once, however many
  /// tensors need them.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  func arrangement(targets: Int) throws(CoixError) -> RowArrangement {
    try arrangement.withLock { (known) throws(CoixError) -> RowArrangement in
      if let known, known.targets == targets { return known.arrangement }
      let made = try RowArrangement(self.rows, targets: targets)
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
