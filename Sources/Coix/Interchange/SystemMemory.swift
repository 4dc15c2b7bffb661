import Foundation

/// Asks the system for memory before a Swift array does, which would end the process where there is none.
enum SystemMemory {
  /// - Throws: ``MalformedFile`` if so many bytes cannot be had.
  static func require(_ bytes: Int, for what: @autoclosure () -> String) throws {
    // Smaller requests are not worth a question.
    guard bytes > 1 << 16 else { return }
    // A mapping, not `malloc`: the optimiser takes memory that is freed at once as had, and does not ask for
    // it.
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
  /// Asks for the memory that the array will take if some elements are appended.
  ///
  /// - Throws: ``MalformedFile`` if it cannot be had.
  func requireMemory(forMore count: Int, of what: String = "numbers") throws {
    let total = self.count + count
    // An array doubles its capacity when it is full.
    guard total > capacity else { return }
    try SystemMemory.require(2 * total * MemoryLayout<Element>.stride, for: "more than \(self.count) \(what)")
  }
}
