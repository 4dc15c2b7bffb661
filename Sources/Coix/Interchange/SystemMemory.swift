import Foundation

/// Asks the system for memory before a Swift array does, which would end the process where there is none.
enum SystemMemory {
  /// - Throws: ``MalformedFile`` if so many bytes cannot be had.
  static func require(_ bytes: Int, for what: @autoclosure () -> String) throws {
    // Smaller requests are not worth a question.
    guard bytes > 1 << 20 else { return }
    guard UInt64(bytes) <= ProcessInfo.processInfo.physicalMemory, let memory = malloc(bytes) else {
      throw MalformedFile("\(what()) would need \(bytes) bytes of memory, which cannot be had")
    }
    free(memory)
  }
}

extension Array {
  /// Asks for the memory that the array will take if some elements are appended.
  ///
  /// - Throws: ``MalformedFile`` if it cannot be had.
  func requireMemory(forMore count: Int) throws {
    let total = self.count + count
    // An array doubles its capacity when it is full.
    guard total > capacity else { return }
    try SystemMemory.require(2 * total * MemoryLayout<Element>.stride, for: "more than \(self.count) numbers")
  }
}
