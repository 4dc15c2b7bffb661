import CoixKernels

extension Tensor {
  /// Each particle's own element along an axis, which goes away: `result[o, i] = x[o, index, i]`.
  ///
  /// `index` is a single number, uniform or one per particle; it has no gradient. It is rounded to the
  /// nearest whole number and clamped to the axis; NaN means 0. Poisoned if `index` has axes, or if the axis
  /// is missing or empty. Negative axes count from the end. The gradient goes to the chosen elements, the
  /// others get zeros.
  public func gathered(at index: Tensor, axis: Int = 0) -> Tensor {
    if let refusal = refusal("gathered") ?? index.refusal("gathered") { return refusal }
    guard let axis = shape.normalizedAxis(axis) else { return Self.noAxis("gathered", axis, shape) }
    guard index.shape == .scalar else {
      return Self.mismatch("gathered", [shape, index.shape], "the index must be a single number")
    }
    guard shape[axis] > 0 else { return Self.mismatch("gathered", [shape], "axis \(axis) has no elements") }
    if Tensor.differInRows(self, index) { return inAllRows.gathered(at: index.inAllRows, axis: axis) }
    let xShape = shape
    if index.isBatched && !isBatched {
      return gatheredFromTable(at: index, axis)
        .recorded(from: self) { $0.scatteredToTable(at: index, axis, of: xShape) }
    }
    let layout = layout(axis)
    let positions = index.spread(layout.inner)
    if positions.isPoisoned { return positions }
    let indexStride = index.isBatched ? 1 : 0
    guard let result = Tensor(undefined: shape.removing(axis..<axis + 1, keeping: false), like: self) else {
      return .outOfMemory
    }
    coix_gather_axis(
      pointer, positions.pointer, indexStride, result.pointer, layout.outer, layout.count, layout.inner)
    return result.recorded(from: self) { gradient in
      guard let sum = Tensor(undefined: xShape, like: gradient) else { return .outOfMemory }
      coix_fill(sum.pointer, 0, sum.bufferCount, 1)
      coix_scatter_axis(
        gradient.pointer, positions.pointer, indexStride, sum.pointer, layout.outer, layout.count,
        layout.inner)
      return sum
    }
  }

  /// An index's rows, repeated to fill `count`; unchanged if it is uniform or fills it already.
  private func spread(_ count: Int) -> Tensor {
    isBatched && count != stride ? stretched(to: [count / stride]) : self
  }

  /// The positions along an axis of `size` that an index means, as the kernels round and clamp them.
  private func positions(_ size: Int) -> [Int32] {
    (0..<rowCount).map { row in
      let value = pointer[row]
      return value > 0 ? Int32(Swift.min(Int(Swift.min(value + 0.5, 0x1p31)), size - 1)) : 0
    }
  }

  /// Each particle's element of a uniform tensor.
  private func gatheredFromTable(at index: Tensor, _ axis: Int) -> Tensor {
    let layout = layout(axis)
    let positions = index.positions(layout.count)
    guard let result = Tensor(undefined: shape.removing(axis..<axis + 1, keeping: false), like: index) else {
      return .outOfMemory
    }
    for outer in 0..<layout.outer {
      coix_load_rows(
        pointer + outer * layout.count * layout.inner, positions,
        result.pointer + outer * layout.inner * index.stride,
        0, index.stride, index.stride, layout.inner)
    }
    return result
  }

  /// The gradient of that: each particle's number added to its element of a uniform tensor, in double.
  private func scatteredToTable(at index: Tensor, _ axis: Int, of tableShape: Shape) -> Tensor {
    guard let result = Tensor(undefined: tableShape) else { return .outOfMemory }
    let layout = result.layout(axis)
    let positions = index.positions(layout.count)
    withUnsafeTemporaryAllocation(of: Double.self, capacity: layout.count * layout.inner) { sums in
      for outer in 0..<layout.outer {
        sums.update(repeating: 0)
        for i in 0..<layout.inner {
          let gradients = pointer + (outer * layout.inner + i) * stride
          for row in 0..<stride { sums[Int(positions[row]) * layout.inner + i] += Double(gradients[row]) }
        }
        let to = result.pointer + outer * sums.count
        for k in sums.indices { to[k] = Float(sums[k]) }
      }
    }
    return result
  }

  /// Ones at the positions that the tensor's elements name, along a new last axis of `depth`; zeros
  /// elsewhere. Without a gradient.
  ///
  /// An element that is not a whole number in `0..<depth` gives zeros only. Poisoned if `depth` is negative
  /// or there are too many axes.
  public func oneHot(depth: Int) -> Tensor {
    if let refusal = refusal("oneHot") { return refusal }
    let newShape = shape.inserting(depth, at: shape.rank)
    guard newShape.isValid else {
      return Self.mismatch("oneHot", [shape], "a further axis of size \(depth) gives no legal shape")
    }
    if let refusal = Self.refusal("oneHot", toMake: newShape, like: self) { return refusal }
    guard let result = Tensor(undefined: newShape, like: self) else { return .outOfMemory }
    for element in 0..<shape.elementCount {
      coix_one_hot(
        pointer + element * rowCount, result.pointer + element * depth * rowCount, depth, rowCount)
    }
    return result
  }
}
