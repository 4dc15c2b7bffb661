import CoixKernels
import Foundation

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
    if let missing = missing(RowNeed.of(tensor), along: axes) {
      // The chunk runs on for a while, on zeros of the right shape. What it computes and throws is forgotten.
      lacking += missing
      ExecutionContext.remember(.ranks("rows of other ranks are needed"))
      result.pointer.update(repeating: 0, count: result.bufferCount)
      return result
    }
    do throws(CoixError) {
      let rows = try mapping.index?.rows
      if let recording {
        recording.keep(owner: tensor.storage)
        if let rows { recording.keep(owner: rows) }
      }
      try withExtendedLifetime(rows) { (rows) throws(CoixError) in
        let index = rows.map { UnsafePointer($0.pointer) }
        if let file = tensor.storage.file {
          try read(file, index, into: result, axes)
        } else {
          load(tensor.pointer, index, into: result, axes)
        }
      }
    } catch {
      return Tensor(failure: error)
    }
    guard tensor.node >= 0, let tape else {
      return result.remembering(as: tensor.detached, tensor.detached.portableBase)
    }
    return result.tracked(
      node: tape.leaf(
        forParentNode: tensor.node, scatter: RowScatter(tensor), shape: tensor.shape, stride: result.stride),
      tape: tape.id
    ).remembering(as: tensor, tensor.portableBase)
  }

  /// What is not here of what the chunk reads; nil where nothing is missing. What records the chunk notes that it is read.
  private func missing(_ needs: [RowNeed], along axes: PlateAxes) -> [RowNeed]? {
    if needs.isEmpty { return nil }
    for need in needs { recording?.note(need) }
    let readers = axes == .all ? chunk.numbers : 0..<plate.count(along: axes)
    let missing = needs.filter { !$0.isMet(for: readers, onAllRanks: runsAllChunks) }
    return missing.isEmpty ? nil : missing
  }

  /// Fills a tensor with the chunk's rows of a row-major buffer.
  private func load(
    _ source: UnsafePointer<Float>, _ index: UnsafePointer<Int32>?, into result: Tensor,
    _ axes: PlateAxes = .all
  ) {
    coix_op_load_rows(
      source, index, result.pointer, result.stride, result.shape.elementCount, Int(axes.rawValue)
    ).run()
  }

  /// Fills a tensor with the chunk's rows of a file.
  ///
  /// - Throws: ``CoixError/file(path:reason:)`` that names the file and the rows.
  private func read(
    _ file: FileRows, _ index: UnsafePointer<Int32>?, into result: Tensor, _ axes: PlateAxes
  ) throws(CoixError) {
    let isRead = coix_op_read_rows(
      file.pointer, index, result.pointer, result.stride, result.shape.elementCount, Int(axes.rawValue)
    ).succeeds()
    guard !isRead else { return }
    let code = errno
    var (first, last) = (Int.max, 0)
    for row in 0..<chunk.count(along: axes) {
      let number = chunk.number(row, along: axes)
      let read = index.map { Int($0[number]) } ?? number
      (first, last) = (min(first, read), max(last, read))
    }
    throw file.problem(reading: min(first, last)...last, code)
  }

  /// Puts a tensor's values at the chunk's rows of a row-major buffer.
  func store(_ tensor: Tensor, into target: UnsafeMutablePointer<Float>) {
    coix_op_store_rows(tensor.pointer, target, tensor.shape.elementCount).run()
  }

  /// A seed for the chunk's backward pass: `gradient`'s rows, or one number for every row; zero on padding
  /// rows.
  func seed(from gradient: Tensor, like node: (shape: Shape, stride: Int)) -> Tensor {
    guard node.stride > 0 else { return gradient }
    guard let result = Tensor(undefinedRows: node.shape, in: self) else { return .outOfMemory }
    if gradient.shape.elementCount == 1 && gradient.shape.rank == 0 {
      coix_op_copy(gradient.pointer, 0, 0, result.pointer, 0, 1, result.bufferCount).run()
    } else {
      load(gradient.pointer, nil, into: result)
    }
    if rows < stride { coix_op_clear_padding(result.pointer, node.shape.elementCount).run() }
    return result
  }
}
