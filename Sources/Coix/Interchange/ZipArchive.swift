/// The part of the zip format that `.npz` files need: entries without compression, below 4 GiB.
///
/// Reference: PKWARE, "APPNOTE.TXT, .ZIP file format specification", sections 4.3 and 4.4.
enum ZipArchive {
  struct Entry {
    let name: String
    let bytes: ArraySlice<UInt8>
  }

  private static let localSignature: UInt32 = 0x0403_4B50
  private static let centralSignature: UInt32 = 0x0201_4B50
  private static let endSignature: UInt32 = 0x0605_4B50
  /// 1 January 1980, so that the same entries give the same file.
  private static let date: UInt16 = 0x0021
  /// The name is UTF-8.
  private static let nameFlag: UInt16 = 1 << 11

  /// - Throws: ``MalformedFile`` for more than the format can hold.
  static func encode(_ entries: [Entry]) throws -> [UInt8] {
    var result: [UInt8] = []
    var directory: [UInt8] = []
    for entry in entries {
      let name = Array(entry.name.utf8)
      guard let size = UInt32(exactly: entry.bytes.count), let offset = UInt32(exactly: result.count),
        let nameLength = UInt16(exactly: name.count), size < .max, offset < .max
      else { throw MalformedFile("more than 4 GiB of arrays, or too long a name: \(entry.name.prefix(80))") }
      var common: [UInt8] = []
      common.append(littleEndian: UInt16(20))  // the version that is needed to read it
      common.append(littleEndian: nameFlag)
      common.append(littleEndian: UInt16(0))  // stored
      common.append(littleEndian: UInt16(0))  // midnight
      common.append(littleEndian: date)
      common.append(littleEndian: CRC32.checksum(entry.bytes))
      common.append(littleEndian: size)
      common.append(littleEndian: size)
      common.append(littleEndian: nameLength)
      common.append(littleEndian: UInt16(0))  // no extra field

      directory.append(littleEndian: centralSignature)
      directory.append(littleEndian: UInt16(20))
      directory += common
      directory += [UInt8](repeating: 0, count: 10)  // no comment, first disk, no attributes
      directory.append(littleEndian: offset)
      directory += name

      result.append(littleEndian: localSignature)
      result += common
      result += name
      result += entry.bytes
    }
    guard let count = UInt16(exactly: entries.count), count < .max, let start = UInt32(exactly: result.count),
      let length = UInt32(exactly: directory.count), start < .max
    else { throw MalformedFile("more than 4 GiB of arrays, or more than 65,534") }
    result += directory
    result.append(littleEndian: endSignature)
    result.append(littleEndian: UInt32(0))
    result.append(littleEndian: count)
    result.append(littleEndian: count)
    result.append(littleEndian: length)
    result.append(littleEndian: start)
    result.append(littleEndian: UInt16(0))
    return result
  }

  /// The entries, as the directory at the file's end lists them.
  ///
  /// - Throws: ``MalformedFile``.
  static func decode(_ bytes: [UInt8]) throws -> [Entry] {
    guard !bytes.isEmpty else { throw MalformedFile("is empty") }
    var end = ByteReader(try endRecord(of: bytes))
    _ = try end.bytes(10, of: "the directory's end")
    let count = try end.integer(UInt16.self, of: "the directory's end")
    let length = try end.integer(UInt32.self, of: "the directory's end")
    let start = try end.integer(UInt32.self, of: "the directory's end")
    guard count < UInt16.max, length < UInt32.max, start < UInt32.max else {
      throw MalformedFile("zip archives of 4 GiB or more are not supported")
    }
    guard start + length <= bytes.count else {
      throw MalformedFile("truncated: the directory lies outside of the file")
    }
    var directory = ByteReader(bytes[start..<start + length])
    var entries: [Entry] = []
    var total = 0
    for _ in 0..<count {
      let entry = try nextEntry(&directory, in: bytes)
      total += entry.bytes.count
      // Entries that overlap would let a small file grow without bounds.
      guard total <= bytes.count else { throw MalformedFile("the entries overlap") }
      entries.append(entry)
    }
    return entries
  }

  /// The record at the end of the file; a comment of up to 65,535 bytes may follow it.
  private static func endRecord(of bytes: [UInt8]) throws -> ArraySlice<UInt8> {
    let size = 22
    if bytes.count >= size {
      for start in stride(from: bytes.count - size, through: max(0, bytes.count - size - 0xFFFF), by: -1)
      where bytes[start] == 0x50 {
        var reader = ByteReader(bytes[start...])
        if try reader.integer(UInt32.self, of: "the directory's end") == Int(endSignature) {
          return bytes[start...]
        }
      }
    }
    throw MalformedFile("is not a npz file, or truncated: a zip archive's directory is missing")
  }

  private static func nextEntry(_ directory: inout ByteReader, in bytes: [UInt8]) throws -> Entry {
    let what = "the directory"
    guard try directory.integer(UInt32.self, of: what) == Int(centralSignature) else {
      throw MalformedFile("the archive's directory is damaged")
    }
    _ = try directory.bytes(4, of: what)
    let flags = try directory.integer(UInt16.self, of: what)
    let method = try directory.integer(UInt16.self, of: what)
    _ = try directory.bytes(4, of: what)
    let checksum = try directory.integer(UInt32.self, of: what)
    let stored = try directory.integer(UInt32.self, of: what)
    let size = try directory.integer(UInt32.self, of: what)
    let nameLength = try directory.integer(UInt16.self, of: what)
    let extraLength = try directory.integer(UInt16.self, of: what)
    let commentLength = try directory.integer(UInt16.self, of: what)
    _ = try directory.bytes(8, of: what)
    let offset = try directory.integer(UInt32.self, of: what)
    guard let name = String(validating: try directory.bytes(nameLength, of: what), as: UTF8.self) else {
      throw MalformedFile("an entry's name is not UTF-8")
    }
    _ = try directory.bytes(extraLength + commentLength, of: what)

    guard flags & 1 == 0 else { throw MalformedFile("the entry \(name) is encrypted") }
    guard method == 0 else {
      throw MalformedFile("the entry \(name) is compressed; write it with numpy.savez, not savez_compressed")
    }
    guard stored < UInt32.max, size < UInt32.max, offset < UInt32.max else {
      throw MalformedFile("the entry \(name) has 4 GiB or more, which is not supported")
    }
    guard stored == size else { throw MalformedFile("the entry \(name) has two different sizes") }
    guard offset <= bytes.count else {
      throw MalformedFile("truncated: the entry \(name) lies outside of the file")
    }
    var local = ByteReader(bytes[offset...])
    guard try local.integer(UInt32.self, of: name) == Int(localSignature) else {
      throw MalformedFile("the entry \(name) is not where the directory says")
    }
    _ = try local.bytes(22, of: name)
    let localNameLength = try local.integer(UInt16.self, of: name)
    let localExtraLength = try local.integer(UInt16.self, of: name)
    _ = try local.bytes(localNameLength + localExtraLength, of: name)
    let contents = try local.bytes(size, of: "the entry \(name)")
    guard Int(CRC32.checksum(contents)) == checksum else {
      throw MalformedFile("the entry \(name) is damaged: wrong checksum")
    }
    return Entry(name: name, bytes: contents)
  }
}
