import CoixKernels

extension ExecutionContext {
  /// The chunk's rows of a mapped tensor; other tensors are returned as they are. A tracked mapped tensor
  /// becomes a leaf of the chunk's tape.
  package func local(_ tensor: Tensor) -> Tensor {
    guard !tensor.storage.isPlain, let mapping = tensor.storage.mapping else { return tensor }
    let axes = mapping.axes
    guard rows > 0, axes == .all ? chunk.number(rows - 1) < mapping.rows.count : plate == mapping.rows else {
      return Tensor(
        failure: .misplacedTensor(
          operation: "plate \"\(mapping.plate)\"", reason: "mapped data is read outside of the plate"))
    }
    guard let result = Tensor(undefinedRows: tensor.shape, in: self, along: axes) else { return .outOfMemory }
    do throws(CoixError) {
      let rows = try mapping.index?.rows
      withExtendedLifetime(rows) {
        load(tensor.pointer, $0.map { UnsafePointer($0.pointer) }, into: result, axes)
      }
    } catch {
      return Tensor(failure: error)
    }
    guard tensor.node >= 0, let tape else {
      return result.remembering(as: tensor.detached, tensor.detached.portableBase)
    }
    return result.tracked(
      node: tape.leaf(
        forParentNode: tensor.node, scatter: mapping.scatter, shape: tensor.shape, stride: result.stride),
      tape: tape.id
    ).remembering(as: tensor, tensor.portableBase)
  }

  /// Fills a tensor with the chunk's rows of a row-major buffer.
  private func load(
    _ source: UnsafePointer<Float>, _ index: UnsafePointer<Int32>?, into result: Tensor,
    _ axes: PlateAxes = .all
  ) {
    let elements = result.shape.elementCount
    if axes == .all, let rowNumbers {
      coix_load_numbered_rows(source, index, rowNumbers, result.pointer, rows, stride, elements)
    } else {
      coix_load_rows(
        source, index, result.pointer, chunk.first(along: axes), chunk.count(along: axes), result.stride,
        elements)
    }
  }

  /// Puts a tensor's values at the chunk's rows of a row-major buffer.
  func store(_ tensor: Tensor, into target: UnsafeMutablePointer<Float>) {
    let elements = tensor.shape.elementCount
    if let rowNumbers {
      coix_store_numbered_rows(tensor.pointer, rowNumbers, target, rows, stride, elements)
    } else {
      coix_store_rows(tensor.pointer, target, firstRow, rows, stride, elements)
    }
  }

  /// A seed for the chunk's backward pass: `gradient`'s rows, or one number for every row; zero on padding
  /// rows.
  func seed(from gradient: Tensor, like node: (shape: Shape, stride: Int)) -> Tensor {
    guard node.stride > 0 else { return gradient }
    guard let result = Tensor(undefinedRows: node.shape, in: self) else { return .outOfMemory }
    if gradient.shape.elementCount == 1 && gradient.shape.rank == 0 {
      coix_fill(result.pointer, gradient.scalar, result.bufferCount, 1)
    } else {
      load(gradient.pointer, nil, into: result)
    }
    for element in 0..<node.shape.elementCount {
      (result.pointer + element * stride + rows).update(repeating: 0, count: stride - rows)
    }
    return result
  }
}
