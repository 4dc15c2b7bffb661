import Foundation

/// The one place that large memory comes from.
///
/// A request that exceeds the machine's memory, or that the system refuses, becomes an error of the operation
/// that asked: the error is thrown, or is the failure of a poisoned tensor. Small objects (names, nodes, what
/// is kept of a chunk) come from Swift's own allocator, which ends the process when memory runs out.
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
    // Return the pools' free buffers to the system, then try again.
    BufferPool.drainIdlePools()
    return systemBuffer(bytes)
  }

  private static func systemBuffer(_ bytes: Int) -> UnsafeMutableRawPointer? {
    var buffer: UnsafeMutableRawPointer?
    guard posix_memalign(&buffer, 64, max(bytes, 1)) == 0, let buffer else { return nil }
    if bytes >= Limits.mappedBytes { askForHugePages(buffer, bytes) }
    return buffer
  }

  /// Addresses for so many bytes, to be given back by `munmap`; the system gives memory to what is touched. nil if it refuses them.
  static func addresses(bytes: Int) -> UnsafeMutableRawPointer? {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    guard let base = mmap(nil, max(bytes, 1), PROT_READ | PROT_WRITE, flags, -1, 0), base != MAP_FAILED else {
      return nil
    }
    return base
  }

  /// Lets the system give a mapped buffer's memory in huge pages, where it has them: 40 MB are there in 2 ms
  /// instead of 14. Pages that are not wholly the buffer's stay small. Smaller buffers share the heap, of
  /// which huge pages would keep more resident.
  private static func askForHugePages(_ buffer: UnsafeMutableRawPointer, _ bytes: Int) {
    #if os(Linux)
      let start = buffer.alignedUp(toMultipleOf: pageBytes)
      let end = (buffer + bytes).alignedDown(toMultipleOf: pageBytes)
      // A refusal does no harm.
      if start < end { _ = madvise(start, end - start, Int32(MADV_HUGEPAGE)) }
    #endif
  }

  /// Gives a buffer's memory back to the system and keeps the addresses. What was there is lost.
  static func discard(_ buffer: UnsafeMutableRawPointer, bytes: Int) {
    #if os(Linux)
      let start = buffer.alignedUp(toMultipleOf: pageBytes)
      let end = (buffer + bytes).alignedDown(toMultipleOf: pageBytes)
      // A refusal does no harm.
      if start < end { _ = madvise(start, end - start, Int32(MADV_DONTNEED)) }
    #endif
  }

  private static let pageBytes = Int(sysconf(Int32(_SC_PAGESIZE)))

  /// Checks that there is memory for a Swift collection, before the collection is made: a collection that
  /// gets no memory ends the process.
  ///
  /// - Parameter size: the bytes that an element takes, if it refers to memory beyond its own stride.
  /// - Throws: ``CoixError/memory(what:bytes:)`` if so much memory is not available at the moment.
  package static func require<Element>(
    _ count: Int, of type: Element.Type, each size: Int = MemoryLayout<Element>.stride,
    for what: @autoclosure () -> String
  ) throws(CoixError) {
    let bytes = try bytes(count, of: size, for: what())
    guard bytes > Limits.unaskedBytes else { return }
    guard let buffer = buffer(bytes: bytes) else { throw CoixError.memory(what: what(), bytes: bytes) }
    free(buffer)
  }

  /// Whether there is memory for `count` elements. If not, the evaluation throws the error.
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
