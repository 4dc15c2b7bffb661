import CoixKernels
import Synchronization

/// Ancestor indices, shared by all tensors that were resampled together.
package final class RowIndex: Sendable {
  let rows: [Int32]
  private let sorted = Mutex<SortedRows?>(nil)

  package init(_ rows: [Int32]) { self.rows = rows }

  /// The index that first looks up `outer`, then this one: of values gathered by `self` and again by `outer`.
  func gathered(by outer: RowIndex) -> RowIndex {
    ExecutionContext.current?.rowWork.compositions += 1
    return RowIndex(outer.rows.map { rows[Int($0)] })
  }

  /// The rows by target, for the way back. Sorted once, however many tensors ask.
  func sorted(targets: Int) -> SortedRows {
    sorted.withLock { sorted in
      if let sorted, sorted.targets == targets { return sorted }
      let made = SortedRows(rows, targets: targets)
      sorted = made
      return made
    }
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

/// One gather of many tensors by the same rows.
///
/// Tensors that were read through one index before are read through one composed index afterwards, and a tensor that occurs twice
/// stays one tensor.
package final class RowGather {
  private let index: RowIndex
  private let plate: String
  private var composed: [ObjectIdentifier: (inner: RowIndex, result: RowIndex)] = [:]
  private var views: [ObjectIdentifier: (source: Tensor, view: Tensor)] = [:]

  package init(_ index: RowIndex, plate: String) {
    self.index = index
    self.plate = plate
  }

  /// A mapped tensor as these rows read it; any other as it is.
  ///
  /// Indices compose: values that nobody reads in between are gathered once.
  package func callAsFunction(_ tensor: Tensor) -> Tensor {
    guard !tensor.storage.isPlain, let mapping = tensor.storage.mapping else { return tensor }
    let name = ObjectIdentifier(tensor.storage)
    if let (source, view) = views[name], source.node == tensor.node, source.tape == tensor.tape {
      return view
    }
    // A detached tensor stays detached.
    let whole = Tensor(
      storage: Storage(viewing: tensor.storage, mapping: nil),
      shape: Shape([mapping.sourceRows]).appending(tensor.shape), tape: tensor.tape,
      node: tensor.node < 0 ? -1 : mapping.sourceNode)
    let view = whole.mapped(plate: plate, index: mapping.index.map(composed) ?? index)
    views[name] = (tensor, view)
    return view
  }

  private func composed(after inner: RowIndex) -> RowIndex {
    if let (_, result) = composed[ObjectIdentifier(inner)] { return result }
    let result = inner.gathered(by: index)
    composed[ObjectIdentifier(inner)] = (inner, result)
    return result
  }
}

/// How often a caller's evaluations went through whole columns of row numbers.
package struct RowWork: Equatable, Sendable {
  /// Indices that were composed of two.
  package var compositions = 0
  /// Indices that were sorted, for a gradient.
  package var sorts = 0
  /// Tensors whose rows were moved, after or between stages.
  package var gathers = 0
}
