import CoixKernels
import Foundation

/// How neighbouring axes lie in a tensor's buffer: element (o, k, i) is at `(o * count + k) * inner + i`,
/// where `inner` includes the rows.
struct AxisLayout {
  let outer: Int
  let count: Int
  let inner: Int
}

extension Shape {
  /// This shape without some neighbouring axes, or with size 1 in their place if `keeping`.
  func removing(_ axes: Range<Int>, keeping: Bool) -> Shape {
    var result = Shape.scalar
    for axis in indices {
      if !axes.contains(axis) { result.append(self[axis]) } else if keeping { result.append(1) }
    }
    return result
  }

  /// This shape with another size at an axis.
  func replacing(_ axis: Int, with size: Int) -> Shape {
    var result = Shape.scalar
    for index in indices { result.append(index == axis ? size : self[index]) }
    return result
  }

  /// This shape with one more axis, before the one at `axis` (or last).
  func inserting(_ size: Int, at axis: Int) -> Shape {
    var result = Shape.scalar
    for index in 0...rank {
      if index == axis { result.append(size) }
      if index < rank { result.append(self[index]) }
    }
    return result
  }
}

extension Tensor {
  /// How a range of axes lies in the buffer.
  func layout(_ axes: Range<Int>) -> AxisLayout {
    AxisLayout(
      outer: shape.product(0..<axes.lowerBound), count: shape.product(axes),
      inner: shape.product(axes.upperBound..<shape.rank) * rowCount)
  }

  /// How an axis lies in the buffer.
  func layout(_ axis: Int) -> AxisLayout { layout(axis..<axis + 1) }

  /// The same buffer under another shape of as many elements, as a constant.
  func viewed(as shape: Shape) -> Tensor {
    Tensor(storage: storage, shape: shape, stride: stride, scope: scope)
  }

  /// The poisoned result for an axis that doesn't exist.
  static func noAxis(_ operation: String, _ axis: Int, _ shape: Shape) -> Tensor {
    mismatch(operation, [shape], "there is no axis \(axis)")
  }

  /// The poisoned result of an operation whose output has an invalid shape or would not fit into memory; nil
  /// if the output can be made.
  static func refusal(_ operation: @autoclosure () -> String, toMake shape: Shape, like other: Tensor)
    -> Tensor?
  {
    refusal(operation(), toMake: shape, rows: other.rowCount)
  }

  /// The same check for an output with a given number of rows.
  static func refusal(_ operation: @autoclosure () -> String, toMake shape: Shape, rows: Int) -> Tensor? {
    guard shape.isValid else {
      return mismatch(operation(), [shape], "the result has too many axes or elements")
    }
    if let context = ExecutionContext.current, context.outgrows(shape.elementCount, rows: rows) {
      return Tensor(
        failure: .memory(what: operation(), bytes: shape.elementCount * rows * MemoryLayout<Float>.stride))
    }
    if shape.elementCount <= memoryLimit / rows { return nil }
    return Tensor(
      failure: .memory(what: operation(), bytes: shape.elementCount * rows * MemoryLayout<Float>.stride))
  }

  /// A quarter of the machine's memory, in floats.
  private static let memoryLimit = Int(
    clamping: ProcessInfo.processInfo.physicalMemory / UInt64(4 * MemoryLayout<Float>.stride))

  /// This tensor, whose axes are at `layout`, less a tensor that lacks those axes or has size 1 there.
  func subtracting(_ reduced: Tensor, _ layout: AxisLayout) -> Tensor {
    let shape = reduced.shape
    return combined(COIX_SUBTRACT, with: reduced, layout).recorded(
      from: self, reduced, { $0 }, { -$0.summed(layout, to: shape) })
  }

  /// A kernel's function of this tensor, whose axes are at `layout`, and of a tensor that lacks those axes or
  /// has size 1 there; no gradient.
  func combined(_ operation: coix_binary_op, with reduced: Tensor, _ layout: AxisLayout) -> Tensor {
    if isPoisoned || reduced.isPoisoned { return isPoisoned ? self : reduced }
    guard let result = Tensor(undefined: shape, like: self) else { return .outOfMemory }
    if layout.inner == 1 {
      coix_op_binary(
        operation, pointer, layout.count, 1, reduced.pointer, 1, 0, result.pointer, layout.outer,
        layout.count, ExecutionContext.team
      ).run()
      return result
    }
    let block = layout.count * layout.inner
    for outer in 0..<layout.outer {
      coix_op_binary(
        operation, pointer + outer * block, layout.inner, 1, reduced.pointer + outer * layout.inner, 0, 1,
        result.pointer + outer * block, layout.count, layout.inner, ExecutionContext.team
      ).run()
    }
    return result
  }
}
