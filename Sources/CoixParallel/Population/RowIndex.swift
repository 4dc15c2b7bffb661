import Synchronization

/// Ancestor indices, shared by all tensors that were resampled together: row numbers, or a product of such that is computed when
/// somebody first reads through it.
package final class RowIndex: Sendable {
  private enum Form: Sendable {
    case rows([Int32])
    case product(first: RowIndex, then: RowIndex)
  }

  /// The number of rows.
  let count: Int
  private let form: Mutex<Form>
  private let sorted = Mutex<SortedRows?>(nil)

  package init(_ rows: [Int32]) {
    count = rows.count
    form = Mutex(.rows(rows))
  }

  /// The index of values that were gathered by `first`, and then by `then`.
  init(_ first: RowIndex, then: RowIndex) {
    count = then.count
    form = Mutex(.product(first: first, then: then))
  }

  /// Throws unless as many rows can be numbered, and held with some floats each.
  package static func check(_ particles: Int, _ instances: Int, floats: Int, for what: String) throws {
    let (rows, overflow) = particles.multipliedReportingOverflow(by: instances)
    guard !overflow, rows <= Int32.max else {
      throw CoixError.memory(what: "\(what) more than 2^31 rows", bytes: .max)
    }
    try BufferPool.check(floats * rows, for: "\(what) \(rows) rows")
  }

  /// What is yet to be multiplied.
  var factors: (first: RowIndex, then: RowIndex)? {
    form.withLock { if case .product(let first, let then) = $0 { (first, then) } else { nil } }
  }

  /// The row numbers.
  var rows: [Int32] {
    // Products share their second factors, so that the rows of many take one multiplication each. No recursion: chains may be as
    // long as programs have steps.
    var chain: [RowIndex] = []
    var next = self
    while let factors = next.factors {
      chain.append(next)
      next = factors.then
    }
    for product in chain.reversed() { product.multiply() }
    return form.withLock { if case .rows(let rows) = $0 { rows } else { [] } }
  }

  private func multiply() {
    guard let factors else { return }
    ExecutionContext.current?.rowWork.compositions += 1
    let first = factors.first.rows
    let rows = factors.then.rows.map { first[Int($0)] }
    form.withLock { $0 = .rows(rows) }
  }

  /// The rows by target, for the way back. Sorted once, however many tensors ask.
  func sorted(targets: Int) -> SortedRows {
    sorted.withLock { sorted in
      if let sorted, sorted.targets == targets { return sorted }
      let made = SortedRows(self.rows, targets: targets)
      sorted = made
      return made
    }
  }
}

/// How often a caller's evaluations went through whole columns of row numbers.
package struct RowWork: Equatable, Sendable {
  /// Products of two indices that were computed.
  package var compositions = 0
  /// Indices that were sorted, for a gradient.
  package var sorts = 0
  /// Tensors whose rows were moved, after or between stages.
  package var gathers = 0
}
