/// Something that owns memory which operations read or write.
package class MemoryOwner {
  /// Where the memory starts.
  let address: UnsafeMutableRawPointer

  init(address: UnsafeMutableRawPointer) { self.address = address }
}
