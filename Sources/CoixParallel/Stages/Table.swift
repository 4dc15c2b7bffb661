import Foundation

/// An array that several workers write; each worker writes only the elements that it owns.
final class Table<Element>: @unchecked Sendable {
  // @unchecked: no element is touched by two workers within one parallel region.
  private let elements: UnsafeMutableBufferPointer<Element>

  /// - Throws: ``CoixError/memory(what:bytes:)`` if there is no memory for so many elements.
  init(count: Int, for what: @autoclosure () -> String, _ make: () -> Element) throws(CoixError) {
    let bytes = try Memory.bytes(count, of: MemoryLayout<Element>.stride, for: what())
    guard let buffer = Memory.buffer(bytes: bytes) else {
      throw CoixError.memory(what: what(), bytes: bytes)
    }
    elements = UnsafeMutableBufferPointer(
      start: buffer.bindMemory(to: Element.self, capacity: max(count, 1)), count: count)
    for index in 0..<count { elements.initializeElement(at: index, to: make()) }
  }

  deinit {
    elements.deinitialize()
    free(elements.baseAddress)
  }

  var count: Int { elements.count }

  subscript(index: Int) -> Element {
    get { elements[index] }
    set { elements[index] = newValue }
  }
}
