/// A cursor over bytes that throws when they end too early.
struct ByteReader {
  /// The bytes that have not been read yet.
  private(set) var rest: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  /// The next `count` bytes.
  ///
  /// - Throws: ``MalformedFile`` if there are fewer.
  mutating func bytes(_ count: Int, of what: String) throws -> ArraySlice<UInt8> {
    guard count >= 0, count <= rest.count else {
      throw MalformedFile("truncated: \(what) needs \(count) bytes, \(rest.count) are left")
    }
    defer { rest = rest.dropFirst(count) }
    return rest.prefix(count)
  }

  /// The next little-endian number.
  ///
  /// - Throws: ``MalformedFile`` if the bytes end before.
  mutating func integer<Number: FixedWidthInteger>(_ type: Number.Type, of what: String) throws -> Int {
    let bytes = try bytes(MemoryLayout<Number>.size, of: what)
    return bytes.withUnsafeBytes { Int(clamping: Number(littleEndian: $0.loadUnaligned(as: Number.self))) }
  }
}

extension Array where Element == UInt8 {
  /// Appends a number, little-endian.
  mutating func append(littleEndian number: some FixedWidthInteger) {
    Swift.withUnsafeBytes(of: number.littleEndian) { append(contentsOf: $0) }
  }
}
