import CoixKernels

/// The backward pass of a gather: sums the gradients of all rows that were read from the same row.
struct RowScatter: Sendable {
  let index: RowIndex
  /// How many rows the gathered tensor had.
  let targets: Int

  /// The gradient of the tensor before the gather, `[targets, event...]`, from that of the gathered rows,
  /// `[rows, event...]`.
  func callAsFunction(_ gradient: Tensor, team: Int) -> Tensor {
    let event = gradient.shape.dropping(1)
    let result = Tensor.zeros(Shape(targets).appending(event))
    guard gradient.failure == nil, !result.isPoisoned else { return result }
    do throws(CoixError) {
      let sorted = try index.sorted(targets: targets, team: team)
      coix_op_scatter_add_rows(
        gradient.pointer, sorted.order?.pointer, sorted.offsets.pointer, result.pointer, targets,
        event.elementCount, Int32(team)
      ).run()
      return result
    } catch {
      return Tensor(failure: error)
    }
  }
}

/// Gathered rows, sorted by their target: the row that they were read from.
struct SortedRows: Sendable {
  /// `order[offsets[t]..<offsets[t + 1]]` are the rows that point to target t, ascending; nil if all rows are
  /// in their targets' order already, as after most resamplings.
  let order: Numbers<Int32>?
  let offsets: Numbers<Int32>
  var targets: Int { offsets.count - 1 }

  /// - Throws: ``CoixError/memory(what:bytes:)``.
  init(_ rows: Numbers<Int32>, targets: Int, team: Int) throws(CoixError) {
    offsets = try Numbers(count: targets + 1, for: "the gradient of \(rows.count) gathered rows")
    if coix_op_find_runs(rows.pointer, rows.count, targets, offsets.pointer, Int32(team)).holds() {
      order = nil
      return
    }
    ExecutionContext.current?.rowWork.sorts += 1
    let order: Numbers<Int32> = try Numbers(
      count: rows.count, for: "the gradient of \(rows.count) gathered rows")
    coix_op_sort_rows(rows.pointer, rows.count, targets, order.pointer, offsets.pointer).run()
    self.order = order
  }
}
