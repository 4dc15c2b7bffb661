import CoixKernels
import Foundation

/// The rows of an array in a file that is open, as operations read them: a chunk reads its own when it runs.
package final class FileRows: MemoryOwner, @unchecked Sendable {
  // @unchecked: never changed; any number of threads read the file at once.

  /// The file's path, for messages.
  private let path: String
  /// Which of the file's rows these are.
  private let range: Range<Int>
  /// What keeps the file open.
  private let file: any Sendable

  /// How many rows there are.
  var count: Int { range.count }
  /// The rows, as operations read them.
  var pointer: UnsafePointer<coix_file_rows> {
    UnsafePointer(address.assumingMemoryBound(to: coix_file_rows.self))
  }

  /// Rows of a file.
  ///
  /// - Parameters:
  ///   - range: the rows.
  ///   - start: where the first of them starts.
  ///   - isDouble: whether the numbers are of double precision; else they are of single precision.
  ///   - file: what keeps the file open.
  package init(
    _ range: Range<Int>, of path: String, descriptor: Int32, start: Int, isDouble: Bool,
    keeping file: any Sendable
  ) {
    (self.path, self.range, self.file) = (path, range, file)
    let rows = UnsafeMutablePointer<coix_file_rows>.allocate(capacity: 1)
    rows.initialize(
      to: coix_file_rows(
        descriptor: descriptor, number_bytes: isDouble ? 8 : 4, start: Int64(start)))
    super.init(address: rows)
  }

  deinit { address.deallocate() }

  /// Whether a path leads to the file.
  func isFile(at path: String) -> Bool {
    var (own, named) = (stat(), stat())
    return fstat(pointer.pointee.descriptor, &own) == 0 && stat(path, &named) == 0
      && own.st_dev == named.st_dev && own.st_ino == named.st_ino
  }

  /// The error for some of the rows, which could not be read: what the system says, or that the file ends
  /// before.
  func problem(reading rows: ClosedRange<Int>, _ code: Int32) -> CoixError {
    let (first, last) = (range.lowerBound + rows.lowerBound, range.lowerBound + rows.upperBound)
    return .file(
      path: path,
      reason: "rows \(first)..<\(last + 1) cannot be read: "
        + (code == 0 ? "the file has become shorter since it was opened" : String(cString: strerror(code))))
  }

  /// All rows, or those of an index, `[rows, event...]`, as a tensor in memory.
  ///
  /// - Throws: ``CoixError/file(path:reason:)``; ``CoixError/memory(what:bytes:)``.
  func read(_ index: RowIndex?, event: Shape) throws(CoixError) -> Tensor {
    let rows = index?.count ?? count
    let shape = Shape(rows).appending(event)
    guard shape.isValid else { throw .memory(what: "all rows of \(path)", bytes: .max) }
    let capacity = BufferPool.roundedCapacity(shape.elementCount)
    let buffer = try BufferPool.allocateChecked(capacity, for: "all rows of \(path)")
    let result = Tensor(storage: Storage(adopting: buffer, capacity: capacity), shape: shape)
    try read(index, width: event.elementCount, to: result.pointer)
    return result
  }

  /// Reads all rows, or those of an index, to memory for `[rows, width]` numbers.
  ///
  /// - Throws: as ``read(_:event:)``.
  func read(_ index: RowIndex?, width: Int, to target: UnsafeMutablePointer<Float>) throws(CoixError) {
    let numbers = try index?.wholeRows
    let isRead = coix_op_read_whole(
      pointer, numbers.map { UnsafePointer($0.pointer) }, target, index?.count ?? count, width
    ).succeeds()
    let code = errno
    ExecutionContext.current?.recording?.keep(owner: self)
    guard isRead else { throw problem(reading: 0...max(count - 1, 0), code) }
  }
}

extension Tensor {
  /// The rows of a file, mapped over a plate: read by each chunk when it runs, and nowhere else in memory.
  package init(_ rows: FileRows, event: Shape, mappedOver plate: String) {
    let mapping = PlateMapping(
      plate: plate, rows: PlateRows(particles: rows.count), index: nil, sourceRows: rows.count)
    self.init(storage: Storage(reading: rows, mapping: mapping), shape: event)
  }

  /// Whether its rows are read from the file that a path leads to.
  package func isRead(fromFileAt path: String) -> Bool { storage.file?.isFile(at: path) ?? false }
}
