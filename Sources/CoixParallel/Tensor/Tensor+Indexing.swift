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
    guard shape[axis] > 0 else { return Self.mismatch("gathered", [shape], "axis \(axis) has no elements") }
    if !index.isBatched, let refusal = Self.refusal(forPositions: index.shape.elementCount) { return refusal }
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

  /// The elements at some positions along an axis, in the positions' order.
  ///
  /// Poisoned if there is no such axis or position. Negative axes count from the end; positions don't.
  public func gathered(at positions: [Int], axis: Int = 0) -> Tensor {
    if let refusal = refusal("gathered") { return refusal }
    guard let axis = shape.normalizedAxis(axis) else { return Self.noAxis("gathered", axis, shape) }
    if let outside = positions.first(where: { !(0..<shape[axis]).contains($0) }) {
      return Self.mismatch(
        "gathered", [shape],
        "index \(outside) is outside of 0 ..< \(shape[axis]), the positions along axis \(axis)")
    }
    return gathered(at: positions, [positions.count], axis)
  }

  /// The elements at positions that are known to be within the axis. `positionShape` takes the axis's place
  /// in the result.
  private func gathered(at positions: [Int], _ positionShape: Shape, _ axis: Int) -> Tensor {
    let newShape = Shape(shape.prefix(axis)).appending(positionShape).appending(shape.dropping(axis + 1))
    if let refusal = Self.refusal("gathered", toMake: newShape, like: self) { return refusal }
    let (layout, xShape) = (layout(axis), shape)
    guard let result = Tensor(undefined: newShape, like: self) else { return .outOfMemory }
    for outer in 0..<layout.outer {
      for (place, position) in positions.enumerated() {
        (result.pointer + (outer * positions.count + place) * layout.inner)
          .update(from: pointer + (outer * layout.count + position) * layout.inner, count: layout.inner)
      }
    }
    return result.recorded(from: self) { gradient in
      guard let sum = Tensor(undefined: xShape, like: gradient) else { return .outOfMemory }
      return Self.unlessRefused { () throws(CoixError) in
        // Sums are in double: one position may occur any number of times.
        let sums = try Numbers(
          repeating: 0.0, count: layout.count * layout.inner, for: "the gradient of gathered")
        for outer in 0..<layout.outer {
          sums.pointer.update(repeating: 0, count: sums.count)
          for (place, position) in positions.enumerated() {
            coix_accumulate_double(
              sums.pointer + position * layout.inner,
              gradient.pointer + (outer * positions.count + place) * layout.inner, layout.inner)
          }
          sums.round(to: sum.pointer + outer * sums.count)
        }
        return sum
      }
    }
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

  /// An index's positions along an axis of `size`, rounded and clamped as the kernels do.
  private func positions(_ size: Int) throws(CoixError) -> Numbers<Int32> {
    let positions = try Numbers<Int32>(count: rowCount, for: "the positions of gathered")
    for row in 0..<rowCount {
      let value = pointer[row]
      positions.pointer[row] =
        value > 0 ? Int32(clamping: Swift.min(Int(Swift.min(value + 0.5, 0x1p31)), size - 1)) : 0
    }
    return positions
  }

  /// Each particle's element of a uniform tensor.
  private func gatheredFromTable(at index: Tensor, _ axis: Int) -> Tensor {
    let layout = layout(axis)
    guard let result = Tensor(undefined: shape.removing(axis..<axis + 1, keeping: false), like: index) else {
      return .outOfMemory
    }
    return Self.unlessRefused { () throws(CoixError) in
      let positions = try index.positions(layout.count)
      for outer in 0..<layout.outer {
        coix_load_rows(
          pointer + outer * layout.count * layout.inner, positions.pointer,
          result.pointer + outer * layout.inner * index.stride,
          0, index.stride, index.stride, layout.inner)
      }
      return result
    }
  }

  /// The gradient of ``gatheredFromTable(at:_:)``: each particle's number is added to its element of a
  /// uniform tensor, in double.
  private func scatteredToTable(at index: Tensor, _ axis: Int, of tableShape: Shape) -> Tensor {
    guard let result = Tensor(undefined: tableShape) else { return .outOfMemory }
    let layout = result.layout(axis)
    return Self.unlessRefused { () throws(CoixError) in
      let positions = try index.positions(layout.count)
      let sums = try Numbers(
        repeating: 0.0, count: layout.count * layout.inner, for: "the gradient of gathered")
      for outer in 0..<layout.outer {
        sums.pointer.update(repeating: 0, count: sums.count)
        for i in 0..<layout.inner {
          let gradients = pointer + (outer * layout.inner + i) * stride
          for row in 0..<stride {
            sums.pointer[Int(positions.pointer[row]) * layout.inner + i] += Double(gradients[row])
          }
        }
        sums.round(to: result.pointer + outer * sums.count)
      }
      return result
    }
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
