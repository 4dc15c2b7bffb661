import CoixKernels
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
  fileprivate var factors: (first: RowIndex, then: RowIndex)? {
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

/// One gather of many tensors by the same rows, each of which stays in its instance.
///
/// Tensors that were read through one index before are read through one product afterwards, and a tensor that occurs twice stays
/// one tensor. Over T gathers of tensors that join one after another there are T multiplications, not T² / 2.
package final class RowGather {
  private let index: RowIndex
  private let plate: String
  private var views: [ObjectIdentifier: (source: Tensor, view: Tensor)] = [:]
  /// For each earlier index, and for each second factor of one: its product with this gather's.
  private var products: [ObjectIdentifier: (earlier: RowIndex, product: RowIndex)] = [:]
  /// The earlier indices that tensors were read through.
  private var read: Set<ObjectIdentifier> = []

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
      shape: Shape([mapping.sourceRows]).appending(tensor.shape), tape: tensor.tape, node: tensor.node)
    let view = view(of: whole, mapping)
    views[name] = (tensor, view)
    return view
  }

  private func view(of whole: Tensor, _ mapping: PlateMapping) -> Tensor {
    guard mapping.axes == .instances else {
      return whole.mapped(plate: plate, index: mapping.rowIndex.map(product) ?? index)
    }
    // A row goes on as a row of the same instance.
    let rows = PlateRows(particles: index.count / mapping.rows.instances, instances: mapping.rows.instances)
    return rows.isNested
      ? whole.mapped(plate: plate, over: rows, along: .instances, index: mapping.index)
      : whole.mapped(plate: plate, index: mapping.index)
  }

  /// Ends the gather. Where most factors have no readers of their own, products are computed, which lets go of the factors.
  package func finish() {
    guard products.count > 2 * read.count else { return }
    for name in read { _ = products[name]?.product.rows }
  }

  /// a (b (c …)) becomes a (b (c … index)): a product with the same first factors, for each tail one that others share.
  private func product(after earlier: RowIndex) -> RowIndex {
    read.insert(ObjectIdentifier(earlier))
    var firsts: [(tail: RowIndex, first: RowIndex)] = []
    var tail = earlier
    var product: RowIndex?
    while product == nil {
      if let known = products[ObjectIdentifier(tail)] {
        product = known.product
      } else if let factors = tail.factors {
        firsts.append((tail, factors.first))
        tail = factors.then
      } else {
        product = remember(RowIndex(tail, then: index), of: tail)
      }
    }
    return firsts.reversed().reduce(product ?? index) { product, part in
      remember(RowIndex(part.first, then: product), of: part.tail)
    }
  }

  private func remember(_ product: RowIndex, of earlier: RowIndex) -> RowIndex {
    products[ObjectIdentifier(earlier)] = (earlier, product)
    return product
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
