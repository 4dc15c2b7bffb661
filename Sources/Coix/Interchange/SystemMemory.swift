import Foundation

/// Checks that the system has memory before a Swift array takes it: an array that gets no memory ends the
/// process.
enum SystemMemory {
  /// - Throws: ``MalformedFile`` if so many bytes are not available.
  static func require(_ bytes: Int, for what: @autoclosure () -> String) throws {
    // Smaller requests are not worth a check.
    guard bytes > 1 << 16 else { return }
    // This asks for a mapping and not for `malloc`, because the optimiser removes a `malloc` whose memory is
    // freed at once.
    let access = PROT_READ | PROT_WRITE
    guard UInt64(bytes) <= ProcessInfo.processInfo.physicalMemory,
      let memory = mmap(nil, bytes, access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), memory != MAP_FAILED
    else {
      throw MalformedFile("\(what()) would need \(bytes) bytes of memory, which cannot be had")
    }
    munmap(memory, bytes)
  }
}

extension Array {
  /// Checks that there is memory for the array with `count` further elements.
  ///
  /// - Throws: ``MalformedFile`` if there is not enough memory.
  func requireMemory(forMore count: Int, of what: String = "numbers") throws {
    let total = self.count + count
    // An array doubles its capacity when it is full.
    guard total > capacity else { return }
    try SystemMemory.require(2 * total * MemoryLayout<Element>.stride, for: "more than \(self.count) \(what)")
  }
}
