import CoixParallel
import Foundation

/// An error in a file's contents. It becomes a `CoixError.file(path:reason:)` where the path is known.
struct MalformedFile: Error {
  let reason: String
  init(_ reason: String) { self.reason = reason }
}

/// Reads and writes whole files; errors name the file.
package enum WholeFile {
  /// Reads a regular file and hands its bytes to `parse`.
  ///
  /// - Throws: `CoixError.file(path:reason:)`; what `parse` throws.
  static func read<Result>(_ path: String, _ parse: ([UInt8]) throws -> Result) throws -> Result {
    try naming(path) { try parse(bytes(of: path)) }
  }

  /// Checks that a file can be written, for use before a long computation. Changes nothing.
  ///
  /// - Throws: `CoixError.file(path:reason:)`.
  package static func checkWritable(_ path: String) throws {
    try naming(path) {
      guard try NewFile.canReplace(path) else { return }
      try NewFile(path).discard()
    }
  }

  /// Writes the bytes that `encode` returns, and replaces an existing file. Until all is written, an existing
  /// file stays as it is.
  ///
  /// - Throws: `CoixError.file(path:reason:)`; what `encode` throws.
  package static func write(_ path: String, _ encode: () throws -> [UInt8]) throws {
    try naming(path) {
      let bytes = try encode()
      let file = try NewFile(path)
      do {
        try file.append(bytes)
        try file.finish()
      } catch {
        file.discard()
        throw error
      }
    }
  }

  /// Writes to standard output.
  ///
  /// - Throws: `CoixError.file(path:reason:)`.
  package static func print(_ text: String) throws {
    try naming("standard output") { try NewFile.append(Array(text.utf8), to: STDOUT_FILENO) }
  }

  /// The path that a file will have: where a link leads if there is one, which stays. Changes nothing.
  ///
  /// - Throws: `CoixError.file(path:reason:)` for what no new file can take the place of: no regular file.
  static func replaceable(_ path: String) throws -> String {
    try naming(path) {
      try NewFile.replacing(path).discard()
      return resolved(path)
    }
  }

  /// Whether two paths lead to one file, which is there.
  package static func isSame(_ path: String, as other: String) -> Bool {
    var (one, two) = (stat(), stat())
    return stat(path, &one) == 0 && stat(other, &two) == 0
      && one.st_dev == two.st_dev && one.st_ino == two.st_ino
  }

  /// The whole path of a file, without links: of one that is not there, its name in its folder. Where there is no such folder
  /// either, the path as it is.
  package static func resolved(_ path: String) -> String {
    if let whole = wholePath(path) { return whole }
    let slash = path.lastIndex(of: "/")
    let name = slash.map { path[path.index(after: $0)...] } ?? path[...]
    guard let folder = wholePath(slash.map { String(path[...$0]) } ?? ".") else { return path }
    return folder.hasSuffix("/") ? "\(folder)\(name)" : "\(folder)/\(name)"
  }

  private static func wholePath(_ path: String) -> String? {
    guard let path = realpath(path, nil) else { return nil }
    defer { free(path) }
    return String(cString: path)
  }

  /// Runs `body`, and adds the path to errors about the file. A path that the system would not take as it is,
  /// is an error.
  static func naming<Result>(_ path: String, _ body: () throws -> Result) throws -> Result {
    do {
      // The system would take the part before the NUL as the path.
      guard !path.utf8.contains(0) else { throw MalformedFile("the path has a NUL character") }
      guard !path.isEmpty else { throw MalformedFile("the path is empty") }
      return try body()
    } catch let problem as MalformedFile {
      throw CoixError.file(path: path, reason: problem.reason)
    }
  }

  private static func bytes(of path: String) throws -> [UInt8] {
    let file = try OpenFile(path)
    guard file.size <= ProcessInfo.processInfo.physicalMemory / 2 else {
      throw MalformedFile("has \(file.size) bytes, too many for this machine's memory")
    }
    // One byte more shows whether the file has grown.
    try SystemMemory.require(file.size + 1, for: "the file")
    let bytes = try [UInt8](unsafeUninitializedCapacity: file.size + 1) { buffer, count in
      count = try file.read(into: UnsafeMutableRawBufferPointer(buffer), at: 0)
    }
    guard bytes.count == file.size else {
      throw MalformedFile("has another size than the system says: is it being written?")
    }
    return bytes
  }

  /// What the system says went wrong.
  static func systemProblem(_ what: String) -> MalformedFile {
    MalformedFile("\(what): \(String(cString: strerror(errno)))")
  }
}

/// A new file that gets its name when it is complete.
///
/// Until then it has a name made from that one, so that the next process writes over what a killed one has left. Whoever
/// writes holds a lock on it; another one that writes the same file meanwhile takes a name of its own.
struct NewFile {
  let descriptor: Int32
  /// The path of the file until it is complete; nil if the file cannot be replaced, such as `/dev/stdout`, or is another
  /// rank's to complete.
  let temporaryPath: String?
  private let path: String

  /// Whether a new file can take the place of what is at the path: true for nothing and for a regular file,
  /// false for something that bytes can only be sent to, such as a device.
  ///
  /// - Throws: ``MalformedFile`` if it cannot be written at all.
  static func canReplace(_ path: String) throws -> Bool {
    guard let status = try status(of: path) else { return true }
    guard status.st_mode & S_IFMT != S_IFDIR else { throw MalformedFile("is a folder, not a file") }
    guard access(path, W_OK) == 0 else { throw WholeFile.systemProblem("cannot be written") }
    return status.st_mode & S_IFMT == S_IFREG
  }

  private static func status(of path: String) throws -> stat? {
    var status = stat()
    if stat(path, &status) == 0 { return status }
    guard errno == ENOENT else { throw WholeFile.systemProblem("cannot be written") }
    // A new file would take the place of the link itself.
    guard lstat(path, &status) != 0 else { throw MalformedFile("is a link to a file that is not there") }
    return nil
  }

  /// Opens a file beside the regular one that it will replace, or whose place is free.
  ///
  /// - Throws: ``MalformedFile``, also for what no new file can take the place of.
  static func replacing(_ path: String) throws -> NewFile {
    guard try canReplace(path) else { throw MalformedFile("is not a regular file") }
    return try NewFile(path)
  }

  /// An open file that will replace another one.
  init(_ descriptor: Int32, at temporaryPath: String, for path: String) {
    (self.descriptor, self.temporaryPath, self.path) = (descriptor, temporaryPath, path)
  }

  /// Opens the file that another rank has made, to write a part of it. That rank alone gives it its name, or discards it.
  init(joining temporaryPath: String, for path: String) throws {
    (self.temporaryPath, self.path) = (nil, path)
    descriptor = open(temporaryPath, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard descriptor >= 0 else { throw WholeFile.systemProblem("cannot be written") }
  }

  /// Opens a file beside the one that it will replace.
  init(_ path: String) throws {
    guard try Self.canReplace(path) else {
      self.path = path
      temporaryPath = nil
      descriptor = open(path, O_WRONLY | O_CLOEXEC)
      guard descriptor >= 0 else { throw WholeFile.systemProblem("cannot be written") }
      return
    }
    let status = try Self.status(of: path)
    // A symbolic link stays; the file that it leads to is replaced.
    let path = status == nil ? path : WholeFile.resolved(path)
    self.path = path
    (temporaryPath, descriptor) = try Self.openTemporary(for: path)
    guard let status else { return }
    // Only root may give a file to another owner.
    _ = fchown(descriptor, status.st_uid, status.st_gid)
    _ = fchmod(descriptor, status.st_mode & 0o7777)
  }

  /// Opens an empty file beside another one.
  private static func openTemporary(for path: String) throws -> (path: String, descriptor: Int32) {
    let slash = path.lastIndex(of: "/")
    let folder = slash.map { path[...$0] } ?? ""
    let name = slash.map { path[path.index(after: $0)...] } ?? path[...]
    let usual = "\(folder).coix-\(name)"
    if let descriptor = openLocked(usual) { return (usual, descriptor) }
    let unique = "\(folder).coix-\(String(UInt64.random(in: 0 ... .max), radix: 16))"
    let descriptor = open(unique, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw WholeFile.systemProblem("cannot be written") }
    return (unique, descriptor)
  }

  /// Opens a file, which may be there, empties it, and holds a lock on it; nil if it is somebody else's or no file of its own.
  private static func openLocked(_ path: String) -> Int32? {
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o666)
    guard descriptor >= 0 else { return nil }
    var (own, named) = (stat(), stat())
    // Whoever had it before may have given it its name, or removed it, until the lock was there.
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0, fstat(descriptor, &own) == 0, lstat(path, &named) == 0,
      own.st_ino == named.st_ino, own.st_dev == named.st_dev, own.st_nlink == 1,
      own.st_mode & S_IFMT == S_IFREG, own.st_uid == geteuid(), ftruncate(descriptor, 0) == 0
    else {
      close(descriptor)
      return nil
    }
    return descriptor
  }

  func append(_ bytes: [UInt8]) throws { try Self.append(bytes, to: descriptor) }

  static func append(_ bytes: [UInt8], to descriptor: Int32) throws {
    try bytes.withUnsafeBytes { buffer in
      var count = 0
      while count < buffer.count, let base = buffer.baseAddress {
        let step = Foundation.write(descriptor, base + count, buffer.count - count)
        if step < 0, errno == EINTR { continue }
        guard step > 0 else { throw WholeFile.systemProblem("cannot be written") }
        count += step
      }
    }
  }

  /// Has the disk keep room for some of so many bytes; the file is long enough for them then.
  func reserve(_ bytes: Range<Int>, of count: Int) throws {
    guard !bytes.isEmpty else { return }
    let code = posix_fallocate(descriptor, off_t(bytes.lowerBound), off_t(bytes.count))
    guard code == 0 else {
      throw MalformedFile("cannot be written, with \(count) bytes: \(String(cString: strerror(code)))")
    }
  }

  /// Makes the file so short.
  func shorten(to bytes: Int) throws {
    guard ftruncate(descriptor, off_t(bytes)) == 0 else { throw WholeFile.systemProblem("cannot be written") }
  }

  /// Waits until the file's contents are on the disk.
  func sync() throws {
    guard fsync(descriptor) == 0 else { throw WholeFile.systemProblem("cannot be written") }
  }

  /// Gives the file its name, once its contents are on the disk.
  func finish() throws {
    guard let temporaryPath else {
      close(descriptor)
      return
    }
    try sync()
    guard rename(temporaryPath, path) == 0 else { throw WholeFile.systemProblem("cannot be written") }
    close(descriptor)
  }

  func discard() {
    // While the lock holds.
    if let temporaryPath { unlink(temporaryPath) }
    close(descriptor)
  }
}
