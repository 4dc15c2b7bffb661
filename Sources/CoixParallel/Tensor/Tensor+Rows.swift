import CoixKernels

extension Tensor {
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
