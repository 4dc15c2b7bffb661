import Foundation

/// The one place that large memory comes from.
///
/// A request that is larger than the machine, or that the system refuses, is an error of whoever asked:
/// thrown, or the failure of a poisoned tensor. What is small (names, nodes, what is kept of a chunk) comes
/// from Swift's own allocator, which ends the process if there is nothing left at all.
package enum Memory {
  /// The machine's memory, in bytes.
  static let physical = Int(clamping: ProcessInfo.processInfo.physicalMemory)

  /// The bytes of `count` elements of `size` bytes each.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)`` if they are more than the machine has.
  @discardableResult
  static func bytes(_ count: Int, of size: Int, for what: @autoclosure () -> String) throws(CoixError) -> Int
  {
    let (bytes, overflow) = count.multipliedReportingOverflow(by: size)
    guard !overflow, bytes <= physical else {
      throw CoixError.memory(what: what(), bytes: overflow ? .max : bytes)
    }
    return bytes
  }

  /// A buffer on a boundary of 64 bytes, to be given back by `free`; nil if the system refuses it.
  static func buffer(bytes: Int) -> UnsafeMutableRawPointer? {
    if let buffer = systemBuffer(bytes) { return buffer }
    // What pools keep for later is of more use now.
    BufferPool.drainIdlePools()
    return systemBuffer(bytes)
  }

  private static func systemBuffer(_ bytes: Int) -> UnsafeMutableRawPointer? {
    var buffer: UnsafeMutableRawPointer?
    return posix_memalign(&buffer, 64, max(bytes, 1)) == 0 ? buffer : nil
  }

  /// Asks for memory that Swift's collections will take, of which the system says no by ending the process.
  ///
  /// - Parameter size: the bytes of an element, if there is more to it than itself.
  /// - Throws: ``CoixError/memory(what:bytes:)`` if so much cannot be had at the moment.
  package static func require<Element>(
    _ count: Int, of type: Element.Type, each size: Int = MemoryLayout<Element>.stride,
    for what: @autoclosure () -> String
  ) throws(CoixError) {
    let bytes = try bytes(count, of: size, for: what())
    guard bytes > Limits.unaskedBytes else { return }
    guard let buffer = buffer(bytes: bytes) else { throw CoixError.memory(what: what(), bytes: bytes) }
    free(buffer)
  }

  /// Whether so much can be had; if not, the error is the evaluation's.
  static func canGive<Element>(_ count: Int, of type: Element.Type, for what: @autoclosure () -> String)
    -> Bool
  {
    do throws(CoixError) {
      try require(count, of: type, for: what())
      return true
    } catch {
      ExecutionContext.remember(error)
      return false
    }
  }
}
