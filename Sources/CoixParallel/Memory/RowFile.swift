/// Where the rows of a result go: a file instead of memory. See `EvaluationOptions.files`.
public struct RowFile: Sendable {
  /// The file's path.
  package let path: String
  /// The same for all paths of the same file.
  package let place: String
  private let makeNew: @Sendable () throws -> any NewRowFile
  private let joinFile: @Sendable (_ pass: [UInt8]) throws -> any NewRowFile

  /// A file.
  ///
  /// - Parameters:
  ///   - place: the same for all paths of the file, if it is known.
  ///   - new: opens a new file; throws if there can be no such file.
  ///   - join: opens the file that another rank has made, by its ``NewRowFile/pass``.
  package init(
    _ path: String, at place: String? = nil, new: @escaping @Sendable () throws -> any NewRowFile,
    join: @escaping @Sendable (_ pass: [UInt8]) throws -> any NewRowFile
  ) {
    (self.path, self.place, makeNew, joinFile) = (path, place ?? path, new, join)
  }

  /// A new file of this process alone, without its name.
  ///
  /// - Throws: ``CoixError/file(path:reason:)``.
  package func new() throws -> any NewRowFile { try makeNew() }

  /// The file that another rank has made.
  ///
  /// - Throws: ``CoixError/file(path:reason:)``.
  package func join(_ pass: [UInt8]) throws -> any NewRowFile { try joinFile(pass) }

  /// A new file, without its name, that all ranks have open. All ranks call it.
  ///
  /// - Throws: ``CoixError/file(path:reason:)``, the same on all ranks; what ranks throw.
  package func open(on ranks: Ranks) throws -> any NewRowFile {
    guard ranks.count > 1 else { return try new() }
    let firstPath = String(decoding: try ranks.first(Array(path.utf8)), as: UTF8.self)
    try ranks.onEach {
      guard path == firstPath else {
        throw CoixError.file(
          path: firstPath,
          reason:
            "\(ranks.name(of: ranks.index)) is to write it to \(path) instead: all ranks must write the same files"
        )
      }
    }
    var file: (any NewRowFile)?
    var pass: [UInt8] = []
    try ranks.onFirst {
      let made = try new()
      (file, pass) = (made, try made.pass())
    }
    pass = try ranks.first(pass)
    try ranks.onEach {
      if ranks.isFirst { return }
      do { file = try join(pass) } catch CoixError.file(_, let reason) {
        throw CoixError.file(
          path: path,
          reason:
            "\(reason), on \(ranks.name(of: ranks.index)): all ranks write the file, in a folder that all of them share"
        )
      }
    }
    guard let file else { throw CoixError.ranks("a rank has not opened \(path)") }
    return file
  }
}

/// A file of rows that is being written, and has no name yet. If it never gets one, none is left of it.
package protocol NewRowFile: AnyObject, Sendable {
  /// The path that it will have.
  var path: String { get }
  var descriptor: Int32 { get }
  /// What other ranks need to open the file, which has nothing else in it.
  ///
  /// - Throws: ``CoixError/file(path:reason:)``.
  func pass() throws -> [UInt8]
  /// Whether no part of it is reserved yet.
  var isBlank: Bool { get }
  /// The bytes before the numbers of an array of a shape: a multiple of 64.
  func header(of shape: Shape) -> [UInt8]
  /// Has the disk keep room for some of so many bytes.
  ///
  /// - Throws: ``CoixError/file(path:reason:)``.
  func reserve(_ bytes: Range<Int>, of count: Int) throws
  /// Waits until what this process has written is on the disk.
  ///
  /// - Throws: ``CoixError/file(path:reason:)``.
  func sync() throws
  /// Cuts the file to its length, and gives it its name. Where ranks share it, the first of them does so.
  ///
  /// - Throws: ``CoixError/file(path:reason:)``.
  func finish(bytes: Int) throws
}
