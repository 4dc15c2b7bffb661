import CoixKernels

extension Tensor {
  /// The largest element of all of the chunk's rows, NaN if one is NaN; nil if there are no elements, or the
  /// tensor may not be used here.
  package var greatest: Float? {
    guard refusal("greatest") == nil, shape.elementCount > 0 else { return nil }
    ExecutionContext.current?.recording?.noteReading(pointer)
    return (0..<shape.elementCount * rowCount).reduce(-.infinity) {
      pointer[$1] > $0 || pointer[$1].isNaN ? pointer[$1] : $0
    }
  }

  /// Rows of a uniform tensor `[n, …]`, by number: `[index.count, …]`. A constant; see `gathered(at:axis:)`
  /// for gradients.
  ///
  /// Poisoned if an index is outside of 0 ..< n.
  public func rows(at index: [Int32]) -> Tensor {
    if let refusal = refusal("rows") { return refusal }
    guard shape.rank > 0, !isBatched, index.allSatisfy({ $0 >= 0 && Int($0) < shape[0] }) else {
      return Tensor.mismatch(
        "rows", [shape], "needs rows 0 ..< n of a tensor that is the same for all particles")
    }
    if let refusal = Tensor.refusal("rows", toMake: Shape(index.count).appending(shape.dropping(1)), rows: 1)
    {
      return refusal
    }
    guard let positions = Tensor(positions: index) else { return .outOfMemory }
    return positions.withPositions { rows(at: $0, index.count) }
  }

  /// `count` rows of a uniform tensor `[n, …]`, drawn with replacement: the rows with the numbers of
  /// ``PRNGKey/choice(_:from:)``. A constant.
  ///
  /// Poisoned if there are no rows to draw from, or if `count` is negative.
  public func sampledRows(_ count: Int, key: some RandomSeed) -> Tensor {
    if let refusal = refusal("sampledRows") { return refusal }
    guard shape.rank > 0, !isBatched, 1...Int(Int32.max) ~= shape[0], 0...Int(Int32.max) ~= count else {
      return Tensor.mismatch(
        "sampledRows", [shape],
        "needs rows to draw from, at most 2^31, the same for all particles, and a count of at least 0")
    }
    if let refusal = Tensor.refusal("sampledRows", toMake: Shape(count).appending(shape.dropping(1)), rows: 1)
    {
      return refusal
    }
    guard let scratch = Tensor(undefined: Shape(count)) else { return .outOfMemory }
    return scratch.pointer.withMemoryRebound(to: Int32.self, capacity: scratch.bufferCount) { index in
      Draw(key: key.prngKey, shape: Shape(count)).fill(index, withIntegersIn: 0..<Int32(shape[0]))
      return withExtendedLifetime(scratch) { rows(at: index, count) }
    }
  }

  private func rows(at index: UnsafePointer<Int32>, _ count: Int) -> Tensor {
    let row = shape.dropping(1)
    guard let result = Tensor(undefined: Shape(count).appending(row)) else { return .outOfMemory }
    coix_op_gather_rows(pointer, index, result.pointer, count, row.elementCount, ExecutionContext.team).run()
    return result
  }
}
