/// An array whose elements different workers write: each only those it owns.
final class Table<Element>: @unchecked Sendable {
  // @unchecked: no element is touched by two workers within one parallel region.
  private let elements: UnsafeMutableBufferPointer<Element>

  init(count: Int, _ make: () -> Element) {
    elements = .allocate(capacity: count)
    for index in 0..<count { elements.initializeElement(at: index, to: make()) }
  }

  deinit {
    elements.deinitialize()
    elements.deallocate()
  }

  var count: Int { elements.count }

  subscript(index: Int) -> Element {
    get { elements[index] }
    set { elements[index] = newValue }
  }
}
