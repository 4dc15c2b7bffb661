/// One gather of many tensors by the same rows, each of which stays in its instance.
///
/// Tensors that were read through one index before are read through one product afterwards, and a tensor that
/// occurs twice stays one tensor. Over T gathers of tensors that join one after another there are T
/// multiplications, not T² / 2.
package final class RowGather {
  package let index: RowIndex
  package let plate: String
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
    ExecutionContext.current?.rowWork.views += 1
    let name = ObjectIdentifier(tensor.storage)
    if let (source, view) = views[name], source.node == tensor.node, source.tape == tensor.tape {
      return view
    }
    // A detached tensor stays detached.
    let whole = Tensor(
      storage: Storage(viewing: tensor.storage, mapping: nil),
      shape: Shape([mapping.sourceRows]).appending(tensor.shape), tape: tensor.tape, node: tensor.node)
    do throws(CoixError) {
      let view = try view(of: whole, mapping).remembering(as: tensor, tensor.portableBase.map { self($0) })
      views[name] = (tensor, view)
      return view
    } catch {
      return Tensor(failure: error)
    }
  }

  private func view(of whole: Tensor, _ mapping: PlateMapping) throws(CoixError) -> Tensor {
    guard mapping.axes == .instances else {
      return whole.mapped(plate: plate, index: try mapping.rowIndex.map(product) ?? index)
    }
    // A row goes on as a row of the same instance.
    let rows = PlateRows(particles: index.count / mapping.rows.instances, instances: mapping.rows.instances)
    return rows.isNested
      ? whole.mapped(plate: plate, over: rows, along: .instances, index: mapping.index)
      : whole.mapped(plate: plate, index: mapping.index)
  }

  /// Ends the gather. Where most factors have no readers of their own, products are computed, which lets go
  /// of the factors.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  package func finish() throws {
    guard products.count > 2 * read.count else { return }
    for name in read { _ = try products[name]?.product.rows }
  }

  /// What was gathered by an earlier index, gathered by this one too.
  ///
  /// a (b (c …)) becomes a (b (c … index)): a product with the same first factors, for each tail one that
  /// others share.
  package func product(after earlier: RowIndex) -> RowIndex {
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
