import CoixParallel

/// A `.npy` file whose rows are read when they are asked for, as with `numpy.load(path, mmap_mode="r")`: for
/// arrays that may be larger than memory.
///
/// ```swift
/// let points = try NPYFile("points.npy")
/// let order = PRNGKey(seed: 0).permutation(of: points.rowCount)
/// let batch = try points.rows(at: order.prefix(300))
/// ```
///
/// A row is what one index of the first axis stands for. Arrays of all types that ``NPYArray`` takes can be
/// read, in row-major order: the rows of an array in Fortran order are scattered over the file, and such a
/// file is an error.
///
/// The file stays open as long as the value is used. Any number of threads can read at once. A file that takes
/// its name meanwhile makes no difference, and rows that are gone because the file has become shorter are an
/// error. (That is why rows are read by their position, through the system's cache of the file, and not from a
/// map of it: a process that touches what is gone of a map is ended by the system.)
public final class NPYFile: Sendable {
  /// The file's path.
  public let path: String
  /// The sizes of the axes, outermost first.
  public let shape: [Int]
  /// The size of the first axis.
  public var rowCount: Int { shape.first ?? 0 }

  private let file: OpenFile
  private let header: NPYHeader
  /// Where the first row begins.
  private let start: Int
  private let rowBytes: Int

  /// No header of an array of numbers is longer.
  private static let longestHeader = 1 << 16

  /// Rows are read at once with those that lie between them up to so many bytes: as many as can be copied while
  /// the system is called once more.
  private static let skippedBytes = 1 << 12
  /// The most bytes that are read at once for rows that don't follow each other.
  private static let spanBytes = 1 << 18

  /// Opens a file and reads its header.
  ///
  /// - Throws: `CoixError.file(path:reason:)` for what ``NPYArray/init(contentsOf:)`` refuses, for Fortran order,
  ///   and for an array without a first axis or with more axes than tensors have.
  public init(_ path: String) throws {
    (file, header, start) = try WholeFile.naming(path) {
      let file = try OpenFile(path)
      let place = try NPYHeader.place(in: Self.bytes(of: file, upTo: NPYHeader.longestStart))
      guard place.count <= min(Self.longestHeader, file.size - place.lowerBound) else {
        throw MalformedFile(
          place.count > Self.longestHeader
            ? "the header has \(place.count) bytes; that of an array of numbers has fewer"
            : "truncated: the header needs \(place.count) bytes, \(file.size - place.lowerBound) are left")
      }
      let text = try Self.bytes(of: file, upTo: place.upperBound).dropFirst(place.lowerBound)
      let header = try NPYHeader(parsing: text)
      let found = file.size - place.upperBound
      guard found >= header.byteCount else {
        throw MalformedFile(
          "truncated: the array of shape \(header.shape) needs \(header.byteCount) bytes, \(found) are left")
      }
      guard found == header.byteCount else {
        throw MalformedFile("\(found - header.byteCount) bytes follow after the array")
      }
      guard !header.shape.isEmpty else { throw MalformedFile("holds a single number, which has no rows") }
      guard !header.isFortranOrder else {
        throw MalformedFile(
          "is in Fortran order, whose rows are scattered; save numpy.ascontiguousarray(array) instead")
      }
      guard Shape([1] + header.shape.dropFirst()).isValid else {
        throw MalformedFile("has rows of the shape \(header.shape.dropFirst()), which tensors cannot have")
      }
      return (file, header, place.upperBound)
    }
    self.path = path
    shape = header.shape
    rowBytes = header.byteCount / max(header.shape[0], 1)
  }

  private static func bytes(of file: OpenFile, upTo end: Int) throws -> ArraySlice<UInt8> {
    try [UInt8](unsafeUninitializedCapacity: min(end, file.size)) { buffer, count in
      count = try file.read(into: UnsafeMutableRawBufferPointer(buffer), at: 0)
    }[...]
  }

  /// Rows that follow each other: `[range.count, …]`.
  ///
  /// - Throws: `CoixError.argument(_:)` for rows that the file doesn't have; `CoixError.file(path:reason:)` if the
  ///   file cannot be read or has become shorter; `CoixError.memory(what:bytes:)`.
  public func rows(_ range: Range<Int>) throws -> Tensor {
    guard range.lowerBound >= 0, range.upperBound <= rowCount else { throw missing("rows \(range)") }
    return try tensor(of: range.count) { try fill($0, from: range.lowerBound) }
  }

  /// Rows by number, in the given order: `[indices.count, …]`.
  ///
  /// They are read in the order of the file, and those that lie close together at once.
  ///
  /// - Throws: as ``rows(_:)``.
  public func rows(at indices: some Collection<some BinaryInteger>) throws -> Tensor {
    try Memory.require(indices.count, of: (row: Int, position: Int).self, for: "an order of rows")
    var order: [(row: Int, position: Int)] = []
    order.reserveCapacity(indices.count)
    for index in indices {
      guard let row = Int(exactly: index), (0..<rowCount).contains(row) else { throw missing("row \(index)") }
      order.append((row, order.count))
    }
    order.sort { $0.row < $1.row }
    return try tensor(of: order.count) { target in
      var rest = order[...]
      while let first = rest.first {
        var last = first.row
        let near = rest.prefix { next in
          let isNear =
            (next.row - last - 1) * rowBytes <= Self.skippedBytes
            && (next.row - first.row) * rowBytes <= Self.spanBytes
          if isNear { last = next.row }
          return isNear
        }
        rest = rest.dropFirst(near.count)
        try withUnsafeTemporaryAllocation(byteCount: (last + 1 - first.row) * rowBytes, alignment: 1) {
          span in
          try fill(span, from: first.row)
          guard let source = span.baseAddress, let target = target.baseAddress else { return }
          for (row, position) in near {
            (target + position * rowBytes).copyMemory(
              from: source + (row - first.row) * rowBytes, byteCount: rowBytes)
          }
        }
      }
    }
  }

  /// Rows that follow each other, to be read by operations.
  ///
  /// - Throws: `CoixError.argument(_:)` for rows that the file doesn't have; `CoixError.file(path:reason:)`
  ///   for numbers of another type than floats and doubles in the processor's order.
  func fileRows(_ range: Range<Int>) throws -> FileRows {
    guard range.lowerBound >= 0, range.upperBound <= rowCount else { throw missing("rows \(range)") }
    let isDouble = header.elementType == .float64
    guard isDouble || header.elementType == .float32, !header.isBigEndian else {
      throw CoixError.file(
        path: path,
        reason:
          "has numbers of another type than <f4 and <f8, which alone chunks read; save array.astype(\"<f4\")")
    }
    return FileRows(
      range, of: path, descriptor: file.descriptor, start: start + range.lowerBound * rowBytes,
      isDouble: isDouble,
      keeping: file)
  }

  /// A tensor of `count` rows, whose bytes `fill` reads.
  private func tensor(of count: Int, _ fill: (UnsafeMutableRawBufferPointer) throws -> Void) throws -> Tensor
  {
    // As bytes, as numbers of their own type, and as those of the tensor.
    try Memory.require(count + 1, of: UInt8.self, each: 3 * rowBytes, for: "\(count) rows of \(path)")
    return try WholeFile.naming(path) {
      let bytes = try [UInt8](unsafeUninitializedCapacity: count * rowBytes) { buffer, written in
        try fill(UnsafeMutableRawBufferPointer(buffer))
        written = buffer.count
      }
      return try NPYArray(
        checkedShape: [count] + shape.dropFirst(),
        scalars: header.elementType.scalars(of: bytes[...], isBigEndian: header.isBigEndian)
      ).tensor()
    }
  }

  /// Reads as many rows as fill a buffer.
  private func fill(_ buffer: UnsafeMutableRawBufferPointer, from row: Int) throws {
    guard try file.read(into: buffer, at: start + row * rowBytes) == buffer.count else {
      throw MalformedFile("has become shorter since it was opened")
    }
  }

  private func missing(_ what: String) -> CoixError {
    .argument("\(path) has \(rowCount) rows, counted from 0; there is no \(what)")
  }
}
