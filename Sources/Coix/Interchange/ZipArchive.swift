/// Zip archives: reads stored and deflated entries, writes stored ones.
///
/// Reference: PKWARE, "APPNOTE.TXT, .ZIP file format specification", sections 4.3 to 4.5.
struct ZipArchive {
  /// What the archive's directory says about an entry.
  struct Entry {
    let name: String
    fileprivate let flags: Int
    fileprivate let method: Int
    fileprivate let checksum: Int
    /// The number of the entry's bytes in the archive, which may be compressed.
    fileprivate let storedSize: Int
    /// The number of the entry's bytes when they are not compressed.
    let size: Int
    /// Where the entry's bytes in the archive begin.
    fileprivate let start: Int
  }

  /// The entries, in the order of the directory.
  let entries: [Entry]
  private let bytes: [UInt8]
}

// MARK: - Reading

extension ZipArchive {
  /// Reads the directory at the file's end.
  ///
  /// - Throws: ``MalformedFile``.
  init(_ bytes: [UInt8]) throws {
    guard !bytes.isEmpty else { throw MalformedFile("is empty") }
    let directory = try Self.directory(of: bytes)
    var reader = ByteReader(bytes[directory.range])
    var entries: [Entry] = []
    var spans: [Range<Int>] = []
    while !reader.rest.isEmpty {
      let (entry, span) = try Self.nextEntry(&reader, in: bytes[..<directory.range.lowerBound])
      try entries.requireMemory(forMore: 1, of: "entries")
      try spans.requireMemory(forMore: 1, of: "entries")
      entries.append(entry)
      spans.append(span)
    }
    guard entries.count == directory.count else {
      throw MalformedFile(
        "the archive's directory has \(entries.count) entries instead of \(directory.count)")
    }
    // Entries that overlap would let a small file grow without bounds.
    spans.sort { $0.lowerBound < $1.lowerBound }
    for (span, next) in zip(spans, spans.dropFirst()) where next.lowerBound < span.upperBound {
      throw MalformedFile("the archive's entries overlap")
    }
    self.entries = entries
    self.bytes = bytes
  }

  private static let localSignature = 0x0403_4B50
  private static let centralSignature = 0x0201_4B50
  private static let endSignature = 0x0605_4B50
  private static let zip64EndSignature = 0x0606_4B50
  private static let zip64LocatorSignature = 0x0706_4B50

  /// Where the directory is, and how many entries it has.
  private static func directory(of bytes: [UInt8]) throws -> (range: Range<Int>, count: Int) {
    let what = "the directory's end"
    let position = try endRecord(of: bytes)
    var end = ByteReader(bytes[(position + 4)...])
    let disks = try (end.integer(UInt16.self, of: what), end.integer(UInt16.self, of: what))
    let countOfDisk = try end.integer(UInt16.self, of: what)
    var count = try end.integer(UInt16.self, of: what)
    var length = try end.integer(UInt32.self, of: what)
    var start = try end.integer(UInt32.self, of: what)
    var last = position

    let locatorSize = 20
    var isZip64 = false
    if position >= locatorSize {
      var locator = ByteReader(bytes[(position - locatorSize)..<position])
      isZip64 = try locator.integer(UInt32.self, of: what) == zip64LocatorSignature
      if isZip64 {
        let disk = try locator.integer(UInt32.self, of: what)
        last = try locator.integer(UInt64.self, of: what)
        guard disk == 0, last <= position - locatorSize else {
          throw MalformedFile("the archive's zip64 directory is not where it is said to be")
        }
        var end = ByteReader(bytes[last..<(position - locatorSize)])
        guard try end.integer(UInt32.self, of: what) == zip64EndSignature else {
          throw MalformedFile("the archive's zip64 directory is not where it is said to be")
        }
        _ = try end.bytes(20, of: what)
        let countOfDisk = try end.integer(UInt64.self, of: what)
        count = try end.integer(UInt64.self, of: what)
        length = try end.integer(UInt64.self, of: what)
        start = try end.integer(UInt64.self, of: what)
        guard countOfDisk == count else { throw MalformedFile("archives of several parts are not supported") }
      }
    }
    guard isZip64 || disks == (0, 0) && countOfDisk == count else {
      throw MalformedFile("archives of several parts are not supported")
    }
    guard start <= last, length <= last - start else {
      throw MalformedFile("truncated: the directory lies outside of the file")
    }
    guard start + length == last else {
      throw MalformedFile("the archive's directory does not end where its end is described")
    }
    return (start..<(start + length), count)
  }

  /// Where the record at the end of the file begins; a comment of up to 65,535 bytes may follow it.
  private static func endRecord(of bytes: [UInt8]) throws -> Int {
    let size = 22
    if bytes.count >= size {
      for start in stride(from: bytes.count - size, through: max(0, bytes.count - size - 0xFFFF), by: -1)
      where bytes[start] == 0x50 {
        var reader = ByteReader(bytes[start...])
        guard try reader.integer(UInt32.self, of: "the directory's end") == endSignature else { continue }
        _ = try reader.bytes(size - 6, of: "the directory's end")
        // The signature may occur in a comment, too.
        if try reader.integer(UInt16.self, of: "the directory's end") == reader.rest.count { return start }
      }
    }
    throw MalformedFile("is not a npz file, or truncated: a zip archive's directory is missing")
  }

  /// The directory's next entry, and the range of its bytes before the directory.
  private static func nextEntry(
    _ directory: inout ByteReader, in bytes: ArraySlice<UInt8>
  ) throws -> (Entry, Range<Int>) {
    let what = "the directory"
    guard try directory.integer(UInt32.self, of: what) == centralSignature else {
      throw MalformedFile("the archive's directory is damaged")
    }
    _ = try directory.bytes(4, of: what)
    let flags = try directory.integer(UInt16.self, of: what)
    let method = try directory.integer(UInt16.self, of: what)
    _ = try directory.bytes(4, of: what)
    let checksum = try directory.integer(UInt32.self, of: what)
    var storedSize = try directory.integer(UInt32.self, of: what)
    var size = try directory.integer(UInt32.self, of: what)
    let nameLength = try directory.integer(UInt16.self, of: what)
    let extraLength = try directory.integer(UInt16.self, of: what)
    let commentLength = try directory.integer(UInt16.self, of: what)
    let disk = try directory.integer(UInt16.self, of: what)
    _ = try directory.bytes(6, of: what)
    var offset = try directory.integer(UInt32.self, of: what)
    let nameBytes = try directory.bytes(nameLength, of: what)
    guard let name = String(validating: nameBytes, as: UTF8.self), !nameBytes.contains(0) else {
      throw MalformedFile("an entry's name is not UTF-8, or has a NUL character")
    }
    try requireInside(name)
    let extra = try directory.bytes(extraLength, of: what)
    _ = try directory.bytes(commentLength, of: what)
    guard disk == 0 || disk == 0xFFFF else {
      throw MalformedFile("archives of several parts are not supported")
    }

    // Numbers that do not fit 32 bits are in the extra field, in this order.
    if var zip64 = try zip64Field(of: extra, name) {
      if size == UInt32.max { size = try zip64.integer(UInt64.self, of: name) }
      if storedSize == UInt32.max { storedSize = try zip64.integer(UInt64.self, of: name) }
      if offset == UInt32.max { offset = try zip64.integer(UInt64.self, of: name) }
    }
    guard offset <= bytes.count else {
      throw MalformedFile("truncated: the entry \(name) lies outside of the file")
    }
    var local = ByteReader(bytes[offset...])
    guard try local.integer(UInt32.self, of: name) == localSignature else {
      throw MalformedFile("the entry \(name) is not where the directory says")
    }
    _ = try local.bytes(22, of: name)
    let localNameLength = try local.integer(UInt16.self, of: name)
    let localExtraLength = try local.integer(UInt16.self, of: name)
    guard try local.bytes(localNameLength, of: name) == nameBytes else {
      throw MalformedFile("the entry \(name) has another name where its bytes are")
    }
    _ = try local.bytes(localExtraLength, of: name)
    let start = try local.bytes(storedSize, of: "the entry \(name)").startIndex
    let entry = Entry(
      name: name, flags: flags, method: method, checksum: checksum, storedSize: storedSize, size: size,
      start: start)
    return (entry, offset..<(start + storedSize))
  }

  /// The extra field that holds numbers of 64 bits.
  private static func zip64Field(of extra: ArraySlice<UInt8>, _ name: String) throws -> ByteReader? {
    var fields = ByteReader(extra)
    // Fewer than four remaining bytes are padding.
    while fields.rest.count >= 4 {
      let kind = try fields.integer(UInt16.self, of: name)
      let length = try fields.integer(UInt16.self, of: name)
      let field = try fields.bytes(length, of: "an extra field of the entry \(name)")
      if kind == 1 { return ByteReader(field) }
    }
    return nil
  }

  /// An entry's bytes.
  ///
  /// - Throws: ``MalformedFile`` if they are damaged, or stored in a way that is not supported.
  func contents(of entry: Entry) throws -> ArraySlice<UInt8> {
    let stored = bytes[entry.start..<(entry.start + entry.storedSize)]
    func problem(_ what: String) -> MalformedFile { MalformedFile("the entry \(entry.name) \(what)") }
    guard entry.flags & 1 == 0 else { throw problem("is encrypted") }
    let contents: ArraySlice<UInt8>
    switch entry.method {
    case 0:
      guard entry.storedSize == entry.size else { throw problem("has two different sizes") }
      contents = stored
    case 8:
      guard entry.size / Zlib.greatestRatio <= entry.storedSize else {
        throw problem(
          "says that its \(entry.storedSize) deflated bytes hold \(entry.size), which is impossible")
      }
      do { contents = try Zlib.inflated(stored, size: entry.size)[...] } catch let problem as MalformedFile {
        throw MalformedFile("the entry \(entry.name): \(problem.reason)")
      }
    default:
      let method = Self.otherMethods[entry.method].map { " (\($0))" } ?? ""
      throw problem(
        "is compressed by the method \(entry.method)\(method); only stored and deflated entries can be read")
    }
    guard Int(Zlib.crc32(contents)) == entry.checksum else { throw problem("is damaged: wrong checksum") }
    return contents
  }

  private static let otherMethods = [9: "deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ"]
}

// MARK: - Writing

extension ZipArchive {
  /// 1 January 1980, so that the same entries give the same file.
  private static let date: UInt16 = 0x0021
  /// The flag for a name in UTF-8.
  private static let nameFlag: UInt16 = 1 << 11
  /// The versions of the format that are needed to read an archive: without and with numbers of 64 bits.
  private static let (version, zip64Version): (UInt16, UInt16) = (20, 45)

  /// Refuses a name that would lead out of the folder that somebody unpacks the archive in. Nothing here takes names as paths.
  private static func requireInside(_ name: String) throws {
    let parts = name.split(omittingEmptySubsequences: false) { $0 == "/" || $0 == "\\" }
    if parts.contains("..") || parts.count > 1 && parts[0].isEmpty {
      throw MalformedFile("the name \(name) of an entry leads out of the archive")
    }
  }

  /// An archive of stored entries.
  ///
  /// - Parameters:
  ///   - entries: Names, and what makes the entries' bytes.
  ///   - limit: Sizes and positions from here on are written in 64 bits, and a number of entries above 65,534 is.
  ///     Less than 2^32 - 1 is for tests.
  /// - Throws: ``MalformedFile`` for too long a name, and for one that leads out of the archive; what an entry's `contents` throws.
  static func encode(
    _ entries: [(name: String, contents: () throws -> [UInt8])], limit: Int = Int(UInt32.max)
  ) throws -> [UInt8] {
    var result: [UInt8] = []
    var directory: [UInt8] = []
    /// The number in 32 bits, or, if it is too large for them, the sign that it is among `others`.
    func short(_ number: Int, others: inout [UInt64]) -> UInt32 {
      guard number >= limit else { return UInt32(truncatingIfNeeded: number) }
      others.append(UInt64(number))
      return .max
    }
    func zip64Field(_ numbers: [UInt64]) -> [UInt8] {
      guard !numbers.isEmpty else { return [] }
      var field: [UInt8] = []
      field.append(littleEndian: UInt16(1))
      field.append(littleEndian: UInt16(8 * numbers.count))
      for number in numbers { field.append(littleEndian: number) }
      return field
    }

    for entry in entries {
      let name = Array(entry.name.utf8)
      try requireInside(entry.name)
      let contents = try entry.contents()
      guard let nameLength = UInt16(exactly: name.count) else {
        throw MalformedFile("the name \(entry.name.prefix(40))… is too long: it has \(name.count) bytes")
      }
      var large: [UInt64] = []
      let size = short(contents.count, others: &large)
      _ = short(contents.count, others: &large)  // as stored
      let sizes = zip64Field(large)
      let offset = short(result.count, others: &large)
      let sizesAndOffset = zip64Field(large)
      func header(_ extra: [UInt8]) -> [UInt8] {
        var header: [UInt8] = []
        header.append(littleEndian: extra.isEmpty ? version : zip64Version)
        header.append(littleEndian: nameFlag)
        header.append(littleEndian: UInt16(0))  // stored
        header.append(littleEndian: UInt16(0))  // midnight
        header.append(littleEndian: date)
        header.append(littleEndian: Zlib.crc32(contents[...]))
        header.append(littleEndian: size)
        header.append(littleEndian: size)
        header.append(littleEndian: nameLength)
        header.append(littleEndian: UInt16(extra.count))
        return header
      }

      directory.append(littleEndian: UInt32(centralSignature))
      directory.append(littleEndian: sizesAndOffset.isEmpty ? version : zip64Version)
      directory += header(sizesAndOffset)
      directory += [UInt8](repeating: 0, count: 10)  // no comment, first disk, no attributes
      directory.append(littleEndian: offset)
      directory += name + sizesAndOffset

      let local = header(sizes)
      try result.requireMemory(forMore: 4 + local.count + name.count + sizes.count + contents.count)
      result.append(littleEndian: UInt32(localSignature))
      result += local
      result += name
      result += sizes
      result += contents
    }
    let (start, length) = (result.count, directory.count)
    try result.requireMemory(forMore: length)
    result += directory
    if max(start, length) >= limit || entries.count >= Int(UInt16.max) {
      let end = result.count
      result.append(littleEndian: UInt32(zip64EndSignature))
      result.append(littleEndian: UInt64(44))  // the bytes that follow
      result.append(littleEndian: zip64Version)
      result.append(littleEndian: zip64Version)
      result.append(littleEndian: UInt64(0))  // first disk
      for number in [entries.count, entries.count, length, start] {
        result.append(littleEndian: UInt64(number))
      }
      result.append(littleEndian: UInt32(zip64LocatorSignature))
      result.append(littleEndian: UInt32(0))
      result.append(littleEndian: UInt64(end))
      result.append(littleEndian: UInt32(1))  // of one disk
    }
    result.append(littleEndian: UInt32(endSignature))
    result.append(littleEndian: UInt32(0))
    let count = UInt16(clamping: entries.count)
    result.append(littleEndian: count)
    result.append(littleEndian: count)
    result.append(littleEndian: UInt32(clamping: length < limit ? length : .max))
    result.append(littleEndian: UInt32(clamping: start < limit ? start : .max))
    result.append(littleEndian: UInt16(0))
    return result
  }
}
