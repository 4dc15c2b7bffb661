import Foundation

/// A buffer of plain numbers that are not a tensor: row numbers, sums in double.
///
/// Making one throws if there is no memory; a Swift array would end the process.
package final class Numbers<Element: BitwiseCopyable & Sendable>: MemoryOwner, @unchecked Sendable {
  // @unchecked: written only by its maker before it is shared, or by workers each of which owns its elements.

  /// The numbers.
  package var pointer: UnsafeMutablePointer<Element> { address.assumingMemoryBound(to: Element.self) }
  package let count: Int
  /// The rows of ranks in whose memory they lie, if they do.
  let rankRows: RankRows?

  /// `count` numbers with undefined contents.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)`` if there is no memory for them.
  package init(count: Int, for what: @autoclosure () -> String) throws(CoixError) {
    let bytes = try Memory.bytes(count, of: MemoryLayout<Element>.stride, for: what())
    guard let buffer = Memory.buffer(bytes: bytes) else {
      throw CoixError.memory(what: what(), bytes: bytes)
    }
    buffer.bindMemory(to: Element.self, capacity: max(count, 1))
    self.count = count
    rankRows = nil
    super.init(address: buffer)
    ExecutionContext.withCurrent { $0?.recording?.keep(pointer, bytes: bytes, self) }
  }

  /// Numbers for all rows of ranks, one for each.
  init(in rows: RankRows) {
    count = rows.shares.count
    rankRows = rows
    super.init(address: rows.address)
    let bytes = count * MemoryLayout<Element>.stride
    ExecutionContext.withCurrent { $0?.recording?.keep(pointer, bytes: bytes, self) }
  }

  /// The same number `count` times.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)`` if there is no memory for them.
  package convenience init(repeating number: Element, count: Int, for what: @autoclosure () -> String)
    throws(CoixError)
  {
    try self.init(count: count, for: what())
    write { $0.update(repeating: number, count: count) }
  }

  deinit {
    guard rankRows == nil else { return }
    let recording = ExecutionContext.current?.recording
    if let recording { recording.keepReleased(pointer) } else { free(pointer) }
  }

  /// Writes numbers that nobody else has yet, by Swift code rather than an operation. To what records the step
  /// they are constants.
  func write(_ body: (UnsafeMutablePointer<Element>) -> Void) {
    body(pointer)
    ExecutionContext.withCurrent {
      $0?.recording?.noteConstant(pointer, bytes: count * MemoryLayout<Element>.stride)
    }
  }

  package subscript(index: Int) -> Element {
    get {
      ExecutionContext.withCurrent { $0?.recording?.noteReading(pointer) }
      return pointer[index]
    }
    set { pointer[index] = newValue }
  }
}
