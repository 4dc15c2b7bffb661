import CoixKernels

/// The way back of a gather: rows are added up by the rows that they were read from.
struct RowScatter: Sendable {
  let index: RowIndex
  /// How many rows it was read from.
  let targets: Int

  /// The gradient of the rows that were read, from that of the rows that read them.
  func callAsFunction(_ gradient: Tensor, team: Int) -> Tensor {
    let event = gradient.shape.dropping(1)
    let result = Tensor.zeros(Shape(targets).appending(event))
    let sorted = index.sorted(targets: targets)
    coix_scatter_add_rows(
      gradient.pointer, sorted.order, sorted.offsets, result.pointer, targets, event.elementCount, Int32(team)
    )
    return result
  }
}

/// Rows in the order of the targets that they point to.
struct SortedRows: Sendable {
  /// `order[offsets[t]..<offsets[t + 1]]` are the rows that point to target t, ascending.
  let order: [Int32]
  let offsets: [Int32]
  var targets: Int { offsets.count - 1 }

  init(_ rows: [Int32], targets: Int) {
    ExecutionContext.current?.rowWork.sorts += 1
    var order = [Int32](repeating: 0, count: rows.count)
    var offsets = [Int32](repeating: 0, count: targets + 1)
    coix_sort_rows(rows, rows.count, targets, &order, &offsets)
    self.order = order
    self.offsets = offsets
  }
}
