import CoixParallel
import Foundation

/// What is wrong with a file's contents; becomes a `CoixError.file(path:reason:)` where the path is known.
struct MalformedFile: Error {
  let reason: String
  init(_ reason: String) { self.reason = reason }
}

/// Files as a whole, with errors that name them.
package enum WholeFile {
  /// Reads a regular file and hands its bytes to `parse`.
  static func read<Result>(_ path: String, _ parse: ([UInt8]) throws -> Result) throws -> Result {
    do { return try parse(bytes(of: path)) } catch let problem as MalformedFile {
      throw CoixError.file(path: path, reason: problem.reason)
    }
  }

  /// Looks whether a file can be written, before anything takes its time. One that is there stays as it is.
  ///
  /// - Throws: `CoixError.file(path:reason:)`.
  package static func checkWritable(_ path: String) throws {
    let file = open(path, O_WRONLY | O_CREAT | O_NONBLOCK, 0o666)
    guard file >= 0 else {
      throw CoixError.file(path: path, reason: systemProblem("cannot be written").reason)
    }
    close(file)
  }

  /// Writes what `encode` gives, over a file that is there.
  ///
  /// - Throws: `CoixError.file(path:reason:)`; what `encode` throws.
  package static func write(_ path: String, _ encode: () throws -> [UInt8]) throws {
    do { try put(encode(), path) } catch let problem as MalformedFile {
      throw CoixError.file(path: path, reason: problem.reason)
    }
  }

  private static func bytes(of path: String) throws -> [UInt8] {
    // Looked at before it is opened: opening a named pipe waits for its other end.
    var status = stat()
    guard stat(path, &status) == 0 else { throw systemProblem("cannot be read") }
    guard status.st_mode & S_IFMT != S_IFDIR else { throw MalformedFile("is a folder, not a file") }
    guard status.st_mode & S_IFMT == S_IFREG else { throw MalformedFile("is not a regular file") }
    guard status.st_size <= ProcessInfo.processInfo.physicalMemory / 2 else {
      throw MalformedFile("has \(status.st_size) bytes, too many for this machine's memory")
    }
    let file = open(path, O_RDONLY)
    guard file >= 0 else { throw systemProblem("cannot be read") }
    defer { close(file) }
    return try Array(unsafeUninitializedCapacity: Int(status.st_size)) { buffer, count in
      while count < buffer.count, let base = buffer.baseAddress {
        let step = Foundation.read(file, base + count, buffer.count - count)
        guard step >= 0 else { throw systemProblem("cannot be read") }
        guard step > 0 else { break }
        count += step
      }
    }
  }

  private static func put(_ bytes: [UInt8], _ path: String) throws {
    let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o666)
    guard file >= 0 else { throw systemProblem("cannot be written") }
    let isWritten = bytes.withUnsafeBytes { buffer in
      var count = 0
      while count < buffer.count, let base = buffer.baseAddress {
        let step = Foundation.write(file, base + count, buffer.count - count)
        guard step > 0 else { return false }
        count += step
      }
      return true
    }
    let problem = systemProblem("cannot be written")
    guard close(file) == 0, isWritten else { throw problem }
  }

  private static func systemProblem(_ what: String) -> MalformedFile {
    MalformedFile("\(what): \(String(cString: strerror(errno)))")
  }
}
