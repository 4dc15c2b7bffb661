import Foundation

/// A buffer of plain numbers that are not a tensor: row numbers, sums in double.
///
/// Making one throws if there is no memory; a Swift array would end the process.
package final class Numbers<Element: BitwiseCopyable & Sendable>: @unchecked Sendable {
  // @unchecked: written only by its maker before it is shared, or by workers each of which owns its elements.

  /// The numbers.
  package let pointer: UnsafeMutablePointer<Element>
  package let count: Int

  /// `count` numbers with undefined contents.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)`` if there is no memory for them.
  package init(count: Int, for what: @autoclosure () -> String) throws(CoixError) {
    let bytes = try Memory.bytes(count, of: MemoryLayout<Element>.stride, for: what())
    guard let buffer = Memory.buffer(bytes: bytes) else {
      throw CoixError.memory(what: what(), bytes: bytes)
    }
    pointer = buffer.bindMemory(to: Element.self, capacity: max(count, 1))
    self.count = count
  }

  /// The same number `count` times.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)`` if there is no memory for them.
  package convenience init(repeating number: Element, count: Int, for what: @autoclosure () -> String)
    throws(CoixError)
  {
    try self.init(count: count, for: what())
    pointer.update(repeating: number, count: count)
  }

  deinit { free(pointer) }

  /// Writes the numbers, each rounded to the nearest float.
  func round(to floats: UnsafeMutablePointer<Float>) where Element == Double {
    for index in 0..<count { floats[index] = Float(pointer[index]) }
  }

  package subscript(index: Int) -> Element {
    get { pointer[index] }
    set { pointer[index] = newValue }
  }
}
