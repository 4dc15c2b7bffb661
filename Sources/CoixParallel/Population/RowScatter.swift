import CoixKernels

/// The backward pass of a gather: sums the gradients of all rows that were read from the same row.
struct RowScatter: Sendable {
  let index: RowIndex
  /// How many rows the gathered tensor had.
  let targets: Int
  /// Whose rows these are, where ranks share them.
  let shares: RowShares?

  /// The scatter that belongs to the index of a mapped tensor; nil for a tensor without one, whose gradient has the
  /// rows of the tensor.
  init?(_ tensor: Tensor) {
    guard let mapping = tensor.storage.mapping, let index = mapping.index else { return nil }
    (self.index, targets) = (index, mapping.sourceRows)
    // A tensor that was reshaped has the memory of another number of rows.
    let shares = tensor.storage.rankRows?.shares
    self.shares = shares?.count == targets ? shares : nil
  }

  /// The gradient of the tensor before the gather, `[targets, event...]`, from that of the gathered rows,
  /// `[rows, event...]`.
  func callAsFunction(_ gradient: Tensor, team: Int32) -> Tensor {
    let event = gradient.shape.dropping(1)
    guard gradient.failure == nil else { return gradient }
    guard let result = Tensor(undefined: Shape(targets).appending(event)) else { return .outOfMemory }
    do throws(CoixError) {
      let rows = try index.wholeRows
      switch try index.arrangement(targets: targets) {
      case .ascending:
        coix_op_scatter_add_runs(
          gradient.pointer, rows.pointer, result.pointer, targets, rows.count, event.elementCount,
          team
        ).run()
      case .sorted(let order, let offsets):
        coix_op_scatter_add_rows(
          gradient.pointer, order.pointer, offsets.pointer, result.pointer, targets, event.elementCount,
          team
        ).run()
      }
      return result
    } catch {
      return Tensor(failure: error)
    }
  }
}

/// How gathered rows lie with respect to their targets: the rows that they were read from.
enum RowArrangement: Sendable {
  /// In their targets' order, as after most resamplings.
  case ascending
  /// In another one: `order[offsets[t]..<offsets[t + 1]]` are the rows that point to target t, ascending.
  case sorted(order: Numbers<Int32>, offsets: Numbers<Int32>)

  /// - Throws: ``CoixError/memory(what:bytes:)``.
  init(_ rows: Numbers<Int32>, targets: Int) throws(CoixError) {
    if coix_op_ascends(rows.pointer, rows.count).holds() {
      self = .ascending
      return
    }
    ExecutionContext.current?.rowWork.sorts += 1
    let order: Numbers<Int32> = try Numbers(
      count: rows.count, for: "the gradient of \(rows.count) gathered rows")
    let offsets: Numbers<Int32> = try Numbers(
      count: targets + 1, for: "the gradient of \(rows.count) gathered rows")
    coix_op_sort_rows(rows.pointer, rows.count, targets, order.pointer, offsets.pointer).run()
    self = .sorted(order: order, offsets: offsets)
  }
}
