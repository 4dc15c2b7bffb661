import CoixKernels

extension Tensor {
  /// The largest element of all of the chunk's rows, NaN if one is NaN; nil if there are none to be had.
  package var greatest: Float? {
    guard refusal("greatest") == nil, shape.elementCount > 0 else { return nil }
    return (0..<shape.elementCount * rowCount).reduce(-.infinity) {
      pointer[$1] > $0 || pointer[$1].isNaN ? pointer[$1] : $0
    }
  }

  /// Rows of a uniform tensor `[n, …]`, by number: `[index.count, …]`. A constant; see ``gathered(at:axis:)`` for gradients.
  ///
  /// Poisoned if an index is outside of 0 ..< n.
  public func rows(at index: [Int32]) -> Tensor {
    if let refusal = refusal("rows") { return refusal }
    guard shape.rank > 0, !isBatched, index.allSatisfy({ $0 >= 0 && Int($0) < shape[0] }) else {
      return Tensor.mismatch(
        "rows", [shape], "needs rows 0 ..< n of a tensor that is the same for all particles")
    }
    let row = Shape(shape.dropFirst())
    let result = Tensor(undefined: Shape([index.count]).appending(row))
    coix_gather_rows(pointer, index, result.pointer, index.count, row.elementCount, Int32(result.team))
    return result
  }
}
