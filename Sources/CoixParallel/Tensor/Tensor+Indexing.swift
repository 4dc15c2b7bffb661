import CoixKernels

extension Tensor {
  /// The elements at some positions along an axis: `result[o, j, i] = x[o, index[j], i]`, where `j` runs over
  /// the index's shape.
  ///
  /// A scalar index removes the axis; if the index varies over particles, each particle gets its own element.
  /// Index elements are rounded to the nearest whole number and have no gradient. The result is poisoned if
  /// the axis is missing or empty, or if an index that is the same for all particles has a position outside
  /// of the axis. An index that varies over particles is clamped to the axis (NaN becomes 0); with checks on,
  /// a position outside of the axis is an error for such an index, too. Negative axes count from the end. The
  /// gradient goes to the chosen elements; the others get zeros.
  public func gathered(at index: Tensor, axis: Int = 0) -> Tensor {
    if let refusal = refusal("gathered") ?? index.refusal("gathered") { return refusal }
    guard let axis = shape.normalizedAxis(axis) else { return Self.noAxis("gathered", axis, shape) }
    if let refusal = refusalOfPositions(along: axis) { return refusal }
    guard shape[axis] > 0 else { return Self.mismatch("gathered", [shape], "axis \(axis) has no elements") }
    if !index.isBatched {
      if let refusal = Self.refusal(forPositions: index.shape.elementCount) { return refusal }
      ExecutionContext.current?.recording?.noteReading(index.pointer)
    }
    if !index.isBatched || ExecutionContext.current?.checksIndices == true,
      let outside = index.firstOutside(shape[axis])
    {
      return Self.mismatch(
        "gathered", [shape],
        "index \(outside) is outside of 0 ..< \(shape[axis]), the positions along axis \(axis)")
    }
    if !index.isBatched {
      return gathered(
        at: (0..<index.shape.elementCount).map { Int(index.pointer[$0].rounded()) }, index.shape, axis)
    }
    if index.shape != .scalar {
      let flat = index.flattened()
      let newShape = Shape(shape.prefix(axis)).appending(index.shape).appending(shape.dropping(axis + 1))
      let parts = (0..<flat.shape[0]).map { gathered(at: flat[$0], axis: axis) }
      return parts.isEmpty ? .zeros(newShape) : Tensor.stack(parts, axis: axis).reshaped(to: newShape)
    }
    if Tensor.differInRows(self, index) { return inAllRows.gathered(at: index.inAllRows, axis: axis) }
    if index.isBatched && !isBatched { return gatheredFromTable(at: index, axis) }
    let positions = index.detached.spread(layout(axis).inner)
    return positions.isPoisoned ? positions : gatheredByRow(at: positions, axis)
  }

  /// The elements along an axis at positions that differ by row: one for each number behind the axis.
  private func gatheredByRow(at positions: Tensor, _ axis: Int) -> Tensor {
    let (layout, xShape) = (layout(axis), shape)
    guard let result = Tensor(undefined: shape.removing(axis..<axis + 1, keeping: false), like: self) else {
      return .outOfMemory
    }
    coix_op_gather_axis(
      pointer, positions.pointer, positions.rowStride, result.pointer, layout.outer, layout.count,
      layout.inner
    ).run()
    return result.recorded(from: self) { $0.scatteredByRow(to: positions, axis, layout, of: xShape) }
  }

  /// The gradient of ``gatheredByRow(at:_:)``.
  private func scatteredByRow(to positions: Tensor, _ axis: Int, _ layout: AxisLayout, of xShape: Shape)
    -> Tensor
  {
    guard let sum = Tensor(undefined: xShape, like: self) else { return .outOfMemory }
    coix_op_fill(sum.pointer, 0, sum.bufferCount, 1).run()
    coix_op_scatter_axis(
      pointer, positions.pointer, positions.rowStride, sum.pointer, layout.outer, layout.count, layout.inner
    ).run()
    return sum.recorded(from: self) { $0.gatheredByRow(at: positions, axis) }
  }

  /// The elements at some positions along an axis, in the positions' order.
  ///
  /// Poisoned if there is no such axis or position. Negative axes count from the end; positions don't.
  public func gathered(at positions: [Int], axis: Int = 0) -> Tensor {
    if let refusal = refusal("gathered") { return refusal }
    guard let axis = shape.normalizedAxis(axis) else { return Self.noAxis("gathered", axis, shape) }
    if let refusal = refusalOfPositions(along: axis) { return refusal }
    if let outside = positions.first(where: { !(0..<shape[axis]).contains($0) }) {
      return Self.mismatch(
        "gathered", [shape],
        "index \(outside) is outside of 0 ..< \(shape[axis]), the positions along axis \(axis)")
    }
    return gathered(at: positions, [positions.count], axis)
  }

  /// The refusal of an axis that has more positions than four bytes number.
  private func refusalOfPositions(along axis: Int) -> Tensor? {
    guard shape[axis] > Int32.max else { return nil }
    return Self.mismatch("gathered", [shape], "axis \(axis) has more than 2^31 positions")
  }

  /// The elements at positions that are known to be within the axis. `positionShape` takes the axis's place
  /// in the result.
  private func gathered(at positions: [Int], _ positionShape: Shape, _ axis: Int) -> Tensor {
    let newShape = Shape(shape.prefix(axis)).appending(positionShape).appending(shape.dropping(axis + 1))
    if let refusal = Self.refusal("gathered", toMake: newShape, like: self) { return refusal }
    let (layout, xShape) = (layout(axis), shape)
    guard let result = Tensor(undefined: newShape, like: self) else { return .outOfMemory }
    guard let places = Tensor(positions: positions.lazy.map(Int32.init)) else { return .outOfMemory }
    let (read, written) = (layout.count * layout.inner, positions.count * layout.inner)
    places.withPositions { index in
      for outer in 0..<layout.outer {
        coix_op_gather_rows(
          pointer + outer * read, index, result.pointer + outer * written, positions.count, layout.inner, 1
        ).run()
      }
    }
    return result.recorded(from: self) {
      $0.scattered(to: places, positions, positionShape, axis, of: xShape)
    }
  }

  /// The gradient of ``gathered(at:_:_:)``; `places` are the positions in memory.
  private func scattered(
    to places: Tensor, _ positions: [Int], _ positionShape: Shape, _ axis: Int, of xShape: Shape
  ) -> Tensor {
    guard let sum = Tensor(undefined: xShape, like: self) else { return .outOfMemory }
    let layout = sum.layout(axis)
    let (read, written) = (layout.count * layout.inner, positions.count * layout.inner)
    guard let scratch = Tensor(undefinedDoubles: read) else { return .outOfMemory }
    scratch.withDoubles { sums in
      places.withPositions { index in
        for outer in 0..<layout.outer {
          coix_op_scatter_positions(
            pointer + outer * written, index, sums, sum.pointer + outer * read, layout.count, positions.count,
            layout.inner
          ).run()
        }
      }
    }
    return sum.recorded(from: self) { $0.gathered(at: positions, positionShape, axis) }
  }

  /// The poisoned result if there is no memory for so many positions; nil if there is.
  private static func refusal(forPositions count: Int) -> Tensor? {
    do throws(CoixError) {
      try Memory.require(count, of: Int.self, for: "gathered")
      return nil
    } catch {
      return Tensor(failure: error)
    }
  }

  /// The first element, of any row, that is not a position along an axis of `size`; nil if all are positions.
  private func firstOutside(_ size: Int) -> Float? {
    (0..<shape.elementCount * rowCount).lazy.map { self.pointer[$0] }
      .first { !($0 > -0.5 && $0.rounded() < Float(size)) }
  }

  /// An index with its rows repeated to `count` numbers; unchanged if it is uniform or has `count` numbers
  /// already.
  private func spread(_ count: Int) -> Tensor {
    isBatched && count != stride ? stretched(to: [count / stride]) : self
  }

  /// An index's positions along an axis of `size`, rounded and clamped as the kernels do; nil if there is no
  /// memory for them.
  private func positions(_ size: Int) -> Tensor? {
    guard let result = Tensor(undefined: Shape(rowCount)) else { return nil }
    result.withPositions {
      coix_op_positions(pointer, $0, size, rowCount).run()
    }
    return result
  }

  /// Each particle's element of a uniform tensor.
  private func gatheredFromTable(at index: Tensor, _ axis: Int) -> Tensor {
    let (layout, xShape) = (layout(axis), shape)
    guard let result = Tensor(undefined: shape.removing(axis..<axis + 1, keeping: false), like: index) else {
      return .outOfMemory
    }
    guard let positions = index.positions(layout.count) else { return .outOfMemory }
    positions.withPositions { positions in
      for outer in 0..<layout.outer {
        coix_op_gather_table(
          pointer + outer * layout.count * layout.inner, positions,
          result.pointer + outer * layout.inner * index.stride, index.stride, layout.inner
        ).run()
      }
    }
    return result.recorded(from: self) { $0.scatteredToTable(at: index, axis, of: xShape) }
  }

  /// The gradient of ``gatheredFromTable(at:_:)``: each particle's number is added to its element of a
  /// uniform tensor, in double. Its own gradient is never asked for: within a chunk, gradients of gradients are
  /// taken at points that have a value for each row, on which no uniform tensor depends.
  private func scatteredToTable(at index: Tensor, _ axis: Int, of tableShape: Shape) -> Tensor {
    guard let result = Tensor(undefined: tableShape) else { return .outOfMemory }
    let layout = result.layout(axis)
    let step = layout.count * layout.inner
    guard let positions = index.positions(layout.count), let scratch = Tensor(undefinedDoubles: step) else {
      return .outOfMemory
    }
    scratch.withDoubles { sums in
      positions.withPositions { positions in
        for outer in 0..<layout.outer {
          coix_op_scatter_table(
            pointer + outer * layout.inner * stride, positions, sums, result.pointer + outer * step,
            layout.count, layout.inner, stride
          ).run()
        }
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
      coix_op_one_hot(
        pointer + element * rowCount, result.pointer + element * depth * rowCount, depth, rowCount
      ).run()
    }
    return result
  }
}
