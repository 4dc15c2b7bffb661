import CoixKernels

// Cutting tensors along an event axis, and joining them.

extension Tensor {
  // MARK: Cutting

  /// The part of the tensor within a range of positions along an axis.
  ///
  /// Poisoned if there is no such axis or the range leaves it. Negative axes count from the end; positions
  /// don't.
  public func sliced(axis: Int, _ range: Range<Int>) -> Tensor {
    if let refusal = refusal("sliced") { return refusal }
    guard let axis = shape.normalizedAxis(axis) else { return Self.noAxis("sliced", axis, shape) }
    guard range.lowerBound >= 0, range.upperBound <= shape[axis] else {
      return Self.mismatch("sliced", [shape], "\(range) leaves axis \(axis) of size \(shape[axis])")
    }
    if range.count == shape[axis] { return self }
    return cut(axis, range)
  }

  /// The element at a position along an axis; the result lacks that axis. `selecting(2, axis: 0)` of a matrix
  /// is its third row.
  ///
  /// Negative positions and axes count from the end. Poisoned if there is no such axis or position.
  public func selecting(_ index: Int, axis: Int) -> Tensor {
    if let refusal = refusal("selecting") { return refusal }
    guard let axis = shape.normalizedAxis(axis) else { return Self.noAxis("selecting", axis, shape) }
    let size = shape[axis]
    let position = index < 0 ? index + size : index
    guard position >= 0, position < size else {
      return Self.mismatch(
        "selecting", [shape], "there is no element \(index) along axis \(axis) of size \(size)")
    }
    let piece = copy(of: axis, position..<position + 1)
    let kept = piece.shape
    return piece.viewed(as: kept.removing(axis..<axis + 1, keeping: false))
      .recorded(from: self) { $0.reshaped(to: kept).embedded(axis, from: position, in: size) }
  }

  /// The element at a position along the first axis: a row of a matrix, a number of a vector.
  ///
  /// Negative positions count from the end. Poisoned if there is no such position or the tensor has no axes.
  public subscript(index: Int) -> Tensor { selecting(index, axis: 0) }

  /// The part of the tensor within a range of positions along the first axis.
  ///
  /// Poisoned if the range leaves the axis or the tensor has no axes.
  public subscript(range: Range<Int>) -> Tensor { sliced(axis: 0, range) }

  /// A copy of part of an axis.
  private func cut(_ axis: Int, _ range: Range<Int>) -> Tensor {
    let size = shape[axis]
    return copy(of: axis, range).recorded(from: self) { $0.embedded(axis, from: range.lowerBound, in: size) }
  }

  /// The kernel behind ``cut(_:_:)``, without a gradient.
  private func copy(of axis: Int, _ range: Range<Int>) -> Tensor {
    let layout = layout(axis)
    guard let result = Tensor(undefined: shape.replacing(axis, with: range.count), like: self) else {
      return .outOfMemory
    }
    let block = range.count * layout.inner
    // A pointer behind the last element would be one into other memory.
    let start = block > 0 ? range.lowerBound * layout.inner : 0
    coix_op_copy(
      pointer + start, layout.count * layout.inner, 1, result.pointer, block, layout.outer, block
    ).run()
    return result
  }

  /// The opposite of ``cut(_:_:)``: the tensor as part of an axis of `size`, with zeros before and after.
  private func embedded(_ axis: Int, from start: Int, in size: Int) -> Tensor {
    guard let result = Tensor(undefined: shape.replacing(axis, with: size), like: self) else {
      return .outOfMemory
    }
    let layout = layout(axis)
    let (before, block) = (start * layout.inner, layout.count * layout.inner)
    let step = size * layout.inner
    if layout.outer == 1 {
      let after = step - before - block
      if before > 0 { coix_op_fill(result.pointer, 0, before, 1).run() }
      if after > 0 { coix_op_fill(result.pointer + before + block, 0, after, 1).run() }
    } else {
      coix_op_fill(result.pointer, 0, layout.outer * step, 1).run()
    }
    if block > 0 {
      coix_op_copy(pointer, block, 1, result.pointer + before, step, layout.outer, block).run()
    }
    return result.recorded(from: self) { $0.cut(axis, start..<start + layout.count) }
  }

  // MARK: Joining

  /// The tensors one after the other along an axis.
  ///
  /// Their shapes must be equal but for the size of that axis. Uniform and batched tensors may be mixed; each
  /// particle then has a copy of a uniform tensor. Negative axes count from the end. Poisoned if there is no
  /// tensor, no such axis, or the shapes don't fit.
  public static func concatenate(_ tensors: [Tensor], axis: Int = 0) -> Tensor {
    joined(tensors, axis, "concatenate")
  }

  /// The tensors side by side along a new axis, which will be axis `axis` of the result; -1 puts it last.
  ///
  /// Their shapes must be equal. Uniform and batched tensors may be mixed; each particle then has a copy of a
  /// uniform tensor. Poisoned if there is no tensor, `axis` is out of range, the shapes differ, or there are
  /// too many axes.
  public static func stack(_ tensors: [Tensor], axis: Int = 0) -> Tensor {
    for tensor in tensors { if let refusal = tensor.refusal("stack") { return refusal } }
    guard let first = tensors.first else {
      return Tensor(failure: .argument("stack: there are no tensors to join"))
    }
    guard tensors.allSatisfy({ $0.shape == first.shape }) else {
      return mismatch("stack", tensors.map(\.shape), "the shapes differ")
    }
    guard let position = first.shape.normalizedInsertion(axis) else {
      return noAxis("stack", axis, first.shape)
    }
    guard first.shape.rank < Shape.maximumRank else {
      return mismatch("stack", [first.shape], "more than \(Shape.maximumRank) axes")
    }
    return joined(tensors.map { $0.expandingAxis(at: position) }, position, "stack")
  }

  private static func joined(_ tensors: [Tensor], _ axis: Int, _ name: String) -> Tensor {
    for tensor in tensors { if let refusal = tensor.refusal(name) { return refusal } }
    if differInRows(tensors) { return joined(tensors.map(\.inAllRows), axis, name) }
    guard let first = tensors.first else {
      return Tensor(failure: .argument("\(name): there are no tensors to join"))
    }
    if tensors.count == 1 && first.shape.normalizedAxis(axis) != nil { return first }
    guard let axis = first.shape.normalizedAxis(axis) else { return noAxis(name, axis, first.shape) }
    var size = 0
    for tensor in tensors {
      guard tensor.shape.rank == first.shape.rank,
        tensor.shape.replacing(axis, with: 1) == first.shape.replacing(axis, with: 1)
      else { return mismatch(name, tensors.map(\.shape), "the shapes differ in more than axis \(axis)") }
      size += tensor.shape[axis]
    }
    let shape = first.shape.replacing(axis, with: size)
    let batched = tensors.first(where: \.isBatched) ?? first
    if let refusal = refusal(name, toMake: shape, like: batched) { return refusal }

    guard let result = Tensor(undefined: shape, like: batched) else { return .outOfMemory }
    let whole = result.layout(axis)
    var ranges: [Range<Int>] = []
    var start = 0
    for tensor in tensors {
      ranges.append(start..<start + tensor.shape[axis])
      tensor.paste(into: result, axis, at: start * whole.inner, step: whole.count * whole.inner)
      start += tensor.shape[axis]
    }
    guard tensors.contains(where: { $0.node >= 0 }), let tape = ExecutionContext.current?.tape else {
      return result.remembering(asJoined: tensors, axis)
    }
    let nodes = tensors.map(tape.node(of:))
    return tape.record(
      result,
      .several(nodes) { gradient, isWanted in
        zip(isWanted, ranges).map { $0 ? gradient.cut(axis, $1) : nil }
      }
    ).remembering(asJoined: tensors, axis)
  }

  /// Copies this tensor's elements into `result`, repeated over its rows if this tensor is uniform. The block
  /// of axis `axis` and all after it for index o of the axes before goes to `offset + o * step`.
  private func paste(into result: Tensor, _ axis: Int, at offset: Int, step: Int) {
    let layout = layout(axis)
    let block = layout.count * layout.inner
    if block == 0 { return }
    if stride == result.stride {
      coix_op_copy(pointer, block, 1, result.pointer + offset, step, layout.outer, block).run()
    } else {
      for outer in 0..<layout.outer {
        coix_op_copy(
          pointer + outer * block, 1, 0, result.pointer + offset + outer * step, result.stride, block,
          result.stride
        ).run()
      }
    }
  }
}
