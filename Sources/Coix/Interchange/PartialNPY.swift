import CoixParallel
import Foundation

/// A `.npy` file of log-weights that is written row by row in several runs of a program: until it is complete, it
/// lies beside its place, as `NAME.partial`, with a note of how many rows are there. A run that an error ends before
/// it has written a row leaves neither of the two. Files of these names that are something else are left alone.
///
/// One process at a time writes it. A link in its place stays: the file that it leads to is replaced.
package final class PartialNPY {
  /// The note beside the file.
  private struct Note: Codable {
    /// How many rows there are.
    var rows: Int
    /// What the rows depend on.
    var settings: [String: String]
  }

  private let path: String
  private var partialPath: String { Self.partialPath(of: path) }
  private var notePath: String { Self.notePath(of: path) }
  private let file: NewFile
  private let memory: FileMemory
  private var isFinished = false
  private let count: Int
  private var note: Note
  /// The rows that are written.
  package var rowCount: Int { note.rows }

  /// Begins a file, or goes on with one; its space on the disk is reserved.
  ///
  /// - Parameters:
  ///   - count: the rows, of one number each.
  ///   - settings: what the numbers depend on.
  ///   - resumes: whether to go on with what is there.
  /// - Throws: `CoixError.file(path:reason:)`, also if what is there depends on other settings, or is something else.
  package init(_ path: String, count: Int, settings: [String: String], resumes: Bool) throws {
    let path = try WholeFile.replaceable(path)
    let header = NPYHeader.encoded("<f4", shape: [count])
    let bytes = count * MemoryLayout<Float>.stride
    let numberBytes = (bytes + 63) / 64 * 64
    (self.path, self.count) = (path, count)
    let (partialPath, notePath) = (Self.partialPath(of: path), Self.notePath(of: path))
    let found = try Self.note(notePath)
    let note = resumes && found?.rows != 0 ? found : nil
    if let note {
      let names = Set(settings.keys).union(note.settings.keys).sorted()
      if let name = names.first(where: { settings[$0] != note.settings[$0] }) {
        throw CoixError.file(
          path: partialPath,
          reason:
            "was begun with \(name) \(note.settings[name] ?? "unset"), not \(settings[name] ?? "unset"); "
            + "go on with what it was begun with, or begin anew without resuming")
      }
      guard note.rows <= count else {
        throw CoixError.file(
          path: partialPath,
          reason: "has \(note.rows) rows of \(count), says its note; begin anew without resuming")
      }
      guard FileManager.default.fileExists(atPath: partialPath) else {
        if note.rows == count, FileManager.default.fileExists(atPath: path) {
          // The process was killed between its last two steps.
          unlink(notePath)
          throw CoixError.file(path: path, reason: "is complete; an earlier run has written all of its rows")
        }
        throw CoixError.file(
          path: partialPath,
          reason:
            "is not there, but \(notePath) says that it has \(note.rows) rows; put it back, or begin anew without "
            + "resuming")
      }
    }
    let begun = note ?? Note(rows: 0, settings: settings)
    self.note = begun
    let isNew = note == nil
    (file, memory) = try WholeFile.naming(partialPath) { () throws -> (NewFile, FileMemory) in
      let descriptor = open(
        partialPath, O_RDWR | (isNew ? O_CREAT : 0) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o666)
      guard descriptor >= 0 else { throw WholeFile.systemProblem("cannot be written") }
      var isOwn = false
      do {
        var (status, named) = (stat(), stat())
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
          throw MalformedFile("is not a regular file")
        }
        // Whoever had it before may have given it its name, or removed it, until the lock was there.
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0, lstat(partialPath, &named) == 0,
          status.st_ino == named.st_ino, status.st_dev == named.st_dev
        else {
          throw MalformedFile("is being written by another process")
        }
        // A process that was killed at once, or while it removed them, has left an empty file.
        guard found != nil || status.st_size == 0 else {
          throw MalformedFile(
            "is there, but no \(notePath) that says what it is; move it away, or have the results under another name"
          )
        }
        // It is shorter where a run was killed after all rows, before the file got its name.
        guard isNew || [numberBytes, bytes].contains(Int(status.st_size) - header.count) else {
          throw MalformedFile(
            "has \(status.st_size) bytes instead of \(header.count + numberBytes); begin anew without resuming"
          )
        }
        let file = NewFile(descriptor, at: partialPath, for: path)
        if isNew {
          // A note of other rows must not be taken for one of these.
          do { try Self.write(begun, to: notePath) } catch {
            unlink(partialPath)
            throw error
          }
          isOwn = true
          try file.shorten(to: 0)
          try file.append(header)
        }
        try file.reserve(0..<header.count + numberBytes, of: header.count + numberBytes)
        let memory = try FileMemory(descriptor, start: header.count, logWeights: count, for: path)
        memory.stored(0..<begun.rows)
        return (file, memory)
      } catch {
        // While the lock holds.
        if isOwn { Self.remove(descriptor, partialPath, notePath) }
        close(descriptor)
        throw error
      }
    }
  }

  deinit {
    guard !isFinished else { return }
    if note.rows == 0 { Self.remove(file.descriptor, Self.partialPath(of: path), notePath) }
    close(file.descriptor)
  }

  /// Removes the file and its note, while the file is locked. A process that is killed meanwhile leaves at most an empty file.
  private static func remove(_ descriptor: Int32, _ partialPath: String, _ notePath: String) {
    _ = ftruncate(descriptor, 0)
    unlink(notePath)
    unlink(partialPath)
  }

  private static func partialPath(of path: String) -> String { path + ".partial" }
  private static func notePath(of path: String) -> String { path + ".partial.json" }

  /// The files that are written for a path: the complete one, the one until then, and the note.
  package static func paths(for path: String) -> [String] {
    let path = WholeFile.resolved(path)
    return [path, partialPath(of: path), notePath(of: path)]
  }

  /// How many rows an earlier run has left of a file; nil if there is no note of them.
  ///
  /// - Throws: `CoixError.file(path:reason:)` if there is something else in the note's place.
  package static func rowCount(for path: String) throws -> Int? {
    try note(notePath(of: WholeFile.resolved(path)))?.rows
  }

  private static func note(_ path: String) throws -> Note? {
    guard FileManager.default.fileExists(atPath: path) else { return nil }
    return try WholeFile.read(path) { bytes in
      guard let note = try? JSONDecoder().decode(Note.self, from: Data(bytes)), note.rows >= 0 else {
        throw MalformedFile(
          "is not the note of rows that an interrupted run leaves; move it away to begin anew")
      }
      return note
    }
  }

  private static func write(_ note: Note, to notePath: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    try WholeFile.write(notePath) { try encoder.encode(note) + [0x0A] }
  }

  /// Writes the next rows, one number each; they are on the disk afterwards.
  ///
  /// - Throws: `CoixError.file(path:reason:)`; the error that poisoned the tensor; `CoixError.argument(_:)`
  ///   for more rows than there are.
  package func append(_ rows: Tensor) throws {
    let numbers = try rows.validated()
    guard numbers.shape.elementCount <= count - note.rows else {
      throw CoixError.argument("\(path) has \(count) rows, not \(note.rows + numbers.shape.elementCount)")
    }
    memory.write(numbers, at: note.rows)
    try WholeFile.naming(partialPath) {
      guard fdatasync(file.descriptor) == 0 else { throw WholeFile.systemProblem("cannot be written") }
    }
    var next = note
    next.rows += numbers.shape.elementCount
    try Self.write(next, to: notePath)
    note = next
  }

  /// The numbers, where they lie.
  package var tensor: Tensor { Tensor(memory, shape: [count]) }

  /// Gives the complete file its name.
  ///
  /// - Throws: `CoixError.file(path:reason:)`.
  package func finish() throws {
    try memory.close()
    try WholeFile.naming(path) {
      try file.shorten(to: memory.fileBytes)
      try file.finish()
    }
    isFinished = true
    unlink(notePath)
  }
}
