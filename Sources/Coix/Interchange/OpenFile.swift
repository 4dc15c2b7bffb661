import Foundation

/// A regular file that is open for reading, by any number of threads at once.
final class OpenFile: Sendable {
  /// The file, for whoever reads it by other means.
  let descriptor: Int32
  /// The number of bytes when the file was opened.
  let size: Int

  /// - Throws: ``MalformedFile`` for what cannot be opened, or is not a regular file.
  init(_ path: String) throws {
    // Without O_NONBLOCK, opening a named pipe would wait for its other end.
    let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { throw WholeFile.systemProblem("cannot be read") }
    do { size = try Self.size(of: descriptor) } catch {
      close(descriptor)
      throw error
    }
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  private static func size(of descriptor: Int32) throws -> Int {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw WholeFile.systemProblem("cannot be read") }
    guard status.st_mode & S_IFMT != S_IFDIR else { throw MalformedFile("is a folder, not a file") }
    guard status.st_mode & S_IFMT == S_IFREG else { throw MalformedFile("is not a regular file") }
    return Int(status.st_size)
  }

  /// Fills a buffer with the bytes from `offset` on; returns how many there were.
  ///
  /// - Throws: ``MalformedFile``.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws -> Int {
    var count = 0
    while count < buffer.count, let base = buffer.baseAddress {
      let step = pread(descriptor, base + count, buffer.count - count, off_t(offset + count))
      if step < 0, errno == EINTR { continue }
      guard step >= 0 else { throw WholeFile.systemProblem("cannot be read") }
      guard step > 0 else { break }
      count += step
    }
    return count
  }
}
