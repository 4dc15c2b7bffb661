/// One gather of many tensors by the same row numbers. Each row stays in its instance.
///
/// Tensors that shared an index before the gather share a product of indices after it, and a tensor that
/// occurs twice stays one tensor. If one new tensor joins at each of T gathers, there are T multiplications
/// of indices, not T² / 2.
package final class RowGather {
  package let index: RowIndex
  package let plate: String
  private var views: [ObjectIdentifier: (source: Tensor, view: Tensor)] = [:]
  /// For each earlier index, and for each second factor of an earlier index: its product with this gather's
  /// index.
  private var products: [ObjectIdentifier: (earlier: RowIndex, product: RowIndex)] = [:]
  /// The earlier indices that tensors were read through, in the order of their first reading: ranks compute products together.
  private var read: [ObjectIdentifier] = []

  package init(_ index: RowIndex, plate: String) {
    self.index = index
    self.plate = plate
  }

  /// A mapped tensor with its rows gathered; any other tensor as it is.
  ///
  /// Indices compose: values that are not read in between are gathered once.
  package func callAsFunction(_ tensor: Tensor) -> Tensor {
    guard !tensor.storage.isPlain, let mapping = tensor.storage.mapping else { return tensor }
    ExecutionContext.current?.rowWork.views += 1
    let name = ObjectIdentifier(tensor.storage)
    if let (source, view) = views[name], source.node == tensor.node, source.tape == tensor.tape {
      return view
    }
    do throws(CoixError) {
      let view = try view(of: tensor.source, mapping)
        .remembering(as: tensor, tensor.portableBase.map { self($0) })
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
    // A gathered row stays in its instance, so a tensor that varies over instances only keeps its rows.
    let rows = PlateRows(particles: index.count / mapping.rows.instances, instances: mapping.rows.instances)
    return rows.isNested
      ? whole.mapped(plate: plate, over: rows, along: .instances, index: mapping.index)
      : whole.mapped(plate: plate, index: mapping.index)
  }

  /// Ends the gather. If most factors are not read through by themselves, the products are computed, which
  /// releases the factors.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  package func finish() throws {
    guard products.count > 2 * read.count else { return }
    for name in read { _ = try products[name]?.product.rows }
  }

  /// The index of values that were gathered by an earlier index and are now gathered by this one.
  ///
  /// a (b (c …)) becomes a (b (c … index)). The first factors stay the same, and earlier indices with a
  /// common tail share that tail's product.
  package func product(after earlier: RowIndex) -> RowIndex {
    if !read.contains(ObjectIdentifier(earlier)) { read.append(ObjectIdentifier(earlier)) }
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
