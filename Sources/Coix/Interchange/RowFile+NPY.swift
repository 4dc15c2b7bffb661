import CoixParallel
import Foundation
import Synchronization

extension RowFile {
  /// A `.npy` file, `<f4`, which replaces an existing one when the evaluation has ended.
  ///
  /// Its space on the disk is reserved before anything is computed: a full disk is an error at once. Until it
  /// is complete the file has another name, or none is left of it if the evaluation throws. Where several ranks evaluate, each
  /// writes its rows into the one file, which must be in a folder that all of them share.
  public static func npy(_ path: String) -> RowFile {
    RowFile(path, at: WholeFile.resolved(path)) {
      try NewNPYFile(path)
    } join: {
      try NewNPYFile(path, joining: $0)
    }
  }
}

/// A `.npy` file that is being written.
private final class NewNPYFile: NewRowFile {
  let path: String
  private let file: NewFile
  private let isReserved = Atomic<Bool>(false)
  private let isFinished = Atomic<Bool>(false)
  private static let tokenBytes = 16

  init(_ path: String) throws {
    self.path = path
    file = try WholeFile.naming(path) { try NewFile.replacing(path) }
  }

  /// Opens the file that another rank has made.
  init(_ path: String, joining pass: [UInt8]) throws {
    self.path = path
    file = try WholeFile.naming(path) {
      let file = try NewFile(
        joining: String(decoding: pass.dropFirst(Self.tokenBytes), as: UTF8.self), for: path)
      var token = [UInt8](repeating: 0, count: Self.tokenBytes)
      guard pread(file.descriptor, &token, token.count, 0) == token.count,
        token[...] == pass.prefix(token.count)
      else {
        file.discard()
        throw MalformedFile("cannot be written: another file is at its place")
      }
      return file
    }
  }

  deinit {
    // There is nobody left to be told, and nothing to lose.
    if !isFinished.load(ordering: .relaxed) { file.discard() }
  }

  var descriptor: Int32 { file.descriptor }

  /// Numbers that no other file begins with, which are in this one now, and where it is.
  func pass() throws -> [UInt8] {
    let token = (0..<Self.tokenBytes).map { _ in UInt8.random(in: 0 ... .max) }
    try WholeFile.naming(path) {
      try file.append(token)
      try file.sync()
    }
    return token + Array((file.temporaryPath ?? path).utf8)
  }

  func header(of shape: Shape) -> [UInt8] { NPYHeader.encoded("<f4", shape: Array(shape)) }

  var isBlank: Bool { !isReserved.load(ordering: .relaxed) }

  func reserve(_ bytes: Range<Int>, of count: Int) throws {
    isReserved.store(true, ordering: .relaxed)
    try WholeFile.naming(path) { try file.reserve(bytes, of: count) }
  }

  func sync() throws { try WholeFile.naming(path) { try file.sync() } }

  func finish(bytes: Int) throws {
    try WholeFile.naming(path) {
      try file.shorten(to: bytes)
      try file.finish()
    }
    isFinished.store(true, ordering: .relaxed)
  }
}

extension Plate {
  /// Maps the rows of a file over the plate: `[count, event...]`, of single or double precision. Inside the
  /// plate's programs, the result is a tensor of the event shape.
  ///
  /// Each chunk reads its rows when it runs, so that the file may be larger than memory; numbers of double
  /// precision are rounded to the nearest `Float`. Otherwise the result is what ``NPYFile/rows(_:)`` would
  /// give all at once, bit for bit. What needs all rows at a time reads them into memory: a trace that keeps
  /// observed values, for example.
  ///
  /// An evaluation throws `CoixError.file(path:reason:)`, with the path and the rows, if rows cannot be read
  /// since the file has become shorter, say. For another type of numbers, or big-endian ones, it throws the
  /// same error at once; for another number of rows than the plate has, as for other data.
  ///
  /// - Parameter rows: which of the file's rows; nil for all.
  public func mapped(_ file: NPYFile, rows: Range<Int>? = nil) -> Tensor {
    do {
      let rows = try file.fileRows(rows ?? 0..<file.rowCount)
      return Tensor(rows, event: Shape(file.shape.dropFirst()), mappedOver: name)
    } catch let error as CoixError {
      return .failed(error)
    } catch {
      return .failed(.file(path: file.path, reason: "\(error)"))
    }
  }
}
