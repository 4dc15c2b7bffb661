import Foundation

/// Where the rows of a result go: a file instead of memory. See `EvaluationOptions.files`.
public struct RowFile: Sendable {
  /// The file's path.
  package let path: String
  private let checkPath: @Sendable () throws -> Void
  private let make: @Sendable (Shape) throws -> FileMemory

  /// A file.
  ///
  /// - Parameters:
  ///   - check: throws if there can be no such file.
  ///   - memory: makes the file, for an array of a shape, without its name.
  package init(
    _ path: String, check: @escaping @Sendable () throws -> Void,
    memory: @escaping @Sendable (Shape) throws -> FileMemory
  ) {
    (self.path, checkPath, make) = (path, check, memory)
  }

  /// Checks that the file can be written. Changes nothing.
  ///
  /// - Throws: ``CoixError/file(path:reason:)``.
  package func check() throws { try checkPath() }

  /// Memory for an array of a shape, which is in a new file.
  ///
  /// - Throws: ``CoixError/file(path:reason:)``, for a full disk too.
  package func memory(for shape: Shape) throws -> FileMemory { try make(shape) }
}

/// Memory for floats that lies in a file which this process alone knows by now. The system holds in memory
/// what it has room for, and writes the rest into the file.
package final class FileMemory: MemoryOwner, @unchecked Sendable {
  // @unchecked: written as other tensors are. It ends when nobody else refers to it, or by its one call of
  // `finish`.

  /// The path that the file will have.
  fileprivate let path: String
  private let base: UnsafeMutableRawPointer
  private let mappedBytes: Int
  private let end: @Sendable (_ isComplete: Bool) throws -> Void
  private var isFinished = false

  /// Maps a file whose disk space is reserved.
  ///
  /// - Parameters:
  ///   - path: the path that it will have.
  ///   - start: where in the file the floats start: a multiple of 64.
  ///   - end: closes the file; a complete one is to get its name.
  /// - Throws: ``CoixError/memory(what:bytes:)`` if the system has no addresses for it.
  package init(
    _ descriptor: Int32, start: Int, bytes: Int, for path: String,
    end: @escaping @Sendable (_ isComplete: Bool) throws -> Void
  ) throws(CoixError) {
    mappedBytes = start + bytes
    guard let base = mmap(nil, mappedBytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0),
      base != MAP_FAILED
    else { throw CoixError.memory(what: path, bytes: bytes) }
    (self.path, self.base, self.end) = (path, base, end)
    super.init(address: base + start)
  }

  deinit {
    munmap(base, mappedBytes)
    if !isFinished { try? end(false) }  // There is nobody left to be told, and nothing to lose.
  }

  /// Lets the system take back the memory of some floats, which the file has.
  package func letGo(_ floats: Range<Int>) {
    let size = MemoryLayout<Float>.stride
    Memory.discard(address + floats.lowerBound * size, bytes: floats.count * size)
  }

  /// Writes a whole tensor's numbers from a place on.
  package func write(_ tensor: Tensor, at place: Int) {
    let numbers = address.assumingMemoryBound(to: Float.self) + place
    let count = tensor.shape.elementCount
    for start in stride(from: 0, to: count, by: Limits.fileFloats) {
      let part = start..<min(start + Limits.fileFloats, count)
      (numbers + start).update(from: tensor.pointer + start, count: part.count)
      letGo(place + part.lowerBound..<place + part.upperBound)
    }
  }

  /// Gives the file its name. There are zeros in its memory from now on: others may shorten the file, and
  /// whoever touches what is gone is ended by the system.
  ///
  /// - Throws: ``CoixError/file(path:reason:)``.
  package func finish() throws {
    isFinished = true
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED
    guard mmap(base, mappedBytes, PROT_READ | PROT_WRITE, flags, -1, 0) != MAP_FAILED else {
      try? end(false)
      throw CoixError.memory(what: "closing a file", bytes: mappedBytes)
    }
    try end(true)
  }
}

extension Tensor {
  /// The memory of a file with a whole tensor's numbers: they are put there, unless they are there already.
  ///
  /// - Throws: ``CoixError/file(path:reason:)``; the error that poisoned the tensor.
  package func memory(in file: RowFile) throws -> FileMemory {
    let tensor = try validated()
    if let own = tensor.storage.fileMemory, own.path == file.path, own.address == tensor.storage.address {
      return own
    }
    let memory = try file.memory(for: shape)
    memory.write(tensor, at: 0)
    return memory
  }

  /// The numbers of a file's memory.
  package init(_ memory: FileMemory, shape: Shape) {
    self.init(storage: Storage(in: memory, capacity: shape.elementCount), shape: shape)
  }
}
