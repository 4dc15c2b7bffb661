/// The header of a safetensors file: a JSON object that says of each array its type, its shape and where its
/// bytes are, and that may have texts by name.
struct SafetensorsHeader {
  struct Entry {
    let name: String
    let type: ElementType
    let shape: [Int]
    /// Where the bytes of the array are, counted from the header's end.
    let range: Range<Int>
  }

  /// The greatest length of a header that the reference implementation takes.
  static let maximumLength = 100_000_000

  /// The arrays, in the order of the header.
  let entries: [Entry]
  let metadata: [String: String]
}

/// The name of the texts.
private let metadataName = "__metadata__"

/// The types of numbers by the format's names, in the order of its alignment.
private let typeNames: KeyValuePairs<String, ElementType> = [
  "BOOL": .bool, "U8": .uint8, "I8": .int8, "I16": .int16, "U16": .uint16, "F16": .float16,
  "BF16": .bfloat16, "I32": .int32, "U32": .uint32, "F32": .float32, "F64": .float64, "I64": .int64,
  "U64": .uint64,
]

// MARK: - Reading

extension SafetensorsHeader {
  /// - Parameters:
  ///   - text: The header.
  ///   - byteCount: The number of bytes that follow it.
  /// - Throws: ``MalformedFile``, also if the arrays don't fill those bytes one after the other.
  init(parsing text: ArraySlice<UInt8>, byteCount: Int) throws {
    guard text.first == UInt8(ascii: "{") else { throw MalformedFile("the header does not begin with {") }
    // What is read of it takes no more than so many times its bytes, even if all names are short.
    try SystemMemory.require(16 * text.count, for: "the header")
    var scanner = try JSONScanner(text)
    var entries: [Entry] = []
    var names: Set<String> = []
    var metadata: [String: String]?
    try scanner.object { scanner, name in
      if name == metadataName {
        guard metadata == nil else { throw MalformedFile("the header has \(metadataName) twice") }
        metadata = try Self.texts(&scanner)
      } else {
        guard names.insert(name).inserted else {
          throw MalformedFile("the array \(name.prefix(40)) is there twice")
        }
        entries.append(try Entry(name: name, &scanner))
      }
    }
    guard scanner.isAtEnd else { throw MalformedFile("the header goes on after its end") }
    self.init(entries: entries, metadata: metadata ?? [:])
    try checkLayout(byteCount: byteCount)
  }

  private static func texts(_ scanner: inout JSONScanner) throws -> [String: String] {
    var texts: [String: String] = [:]
    try scanner.object { scanner, name in
      guard texts.updateValue(try scanner.string(), forKey: name) == nil else {
        throw MalformedFile("\(metadataName) has \(name.prefix(40)) twice")
      }
    }
    return texts
  }

  /// Throws unless the arrays fill `byteCount` bytes one after the other, in any order.
  private func checkLayout(byteCount: Int) throws {
    var end = 0
    let inOrder = entries.sorted {
      ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
    }
    for entry in inOrder {
      let name = entry.name.prefix(40)
      guard entry.range.upperBound <= byteCount else {
        throw MalformedFile(
          "truncated: the array \(name) ends after \(entry.range.upperBound) bytes, there are \(byteCount)")
      }
      guard entry.range.lowerBound >= end else {
        throw MalformedFile("the array \(name) overlaps with another one")
      }
      guard entry.range.lowerBound == end else {
        throw MalformedFile(
          "the \(entry.range.lowerBound - end) bytes before the array \(name) belong to none")
      }
      end = entry.range.upperBound
    }
    guard end == byteCount else { throw MalformedFile("\(byteCount - end) bytes follow after the arrays") }
  }
}

extension SafetensorsHeader.Entry {
  /// Reads what the header says of an array.
  fileprivate init(name: String, _ scanner: inout JSONScanner) throws {
    func problem(_ what: String) -> MalformedFile { MalformedFile("the array \(name.prefix(40)) \(what)") }
    var typeName: String?
    var shape: [Int]?
    var offsets: [Int]?
    try scanner.object { scanner, key in
      let isRepeated: Bool
      switch key {
      case "dtype":
        isRepeated = typeName != nil
        typeName = try scanner.string()
      case "shape":
        isRepeated = shape != nil
        shape = try scanner.wholeNumbers(atMost: NPYHeader.maximumRank)
      case "data_offsets":
        isRepeated = offsets != nil
        offsets = try scanner.wholeNumbers(atMost: 2)
      default: throw problem("has an entry '\(key.prefix(40))', which is not known")
      }
      guard !isRepeated else { throw problem("has the entry '\(key)' twice") }
    }
    guard let typeName else { throw problem("has no entry 'dtype'") }
    guard let shape else { throw problem("has no entry 'shape'") }
    guard let offsets else { throw problem("has no entry 'data_offsets'") }
    guard let (_, type) = typeNames.first(where: { $0.key == typeName }) else {
      throw problem(
        "has the type '\(typeName.prefix(40))', which is not supported; "
          + typeNames.map(\.key).joined(separator: ", ") + " are")
    }
    guard offsets.count == 2, offsets[0] <= offsets[1] else {
      throw problem("has the offsets \(offsets), which are not a beginning and an end")
    }
    guard let count = shape.elementCount, count <= Int.max / type.size else {
      throw problem("has too many elements")
    }
    guard offsets[1] - offsets[0] == count * type.size else {
      throw problem("has \(offsets[1] - offsets[0]) bytes, its type and shape need \(count * type.size)")
    }
    self.init(name: name, type: type, shape: shape, range: offsets[0]..<offsets[1])
  }
}

// MARK: - Writing

extension SafetensorsHeader {
  /// The header of a file with these arrays, one after the other: those of the most aligned types first, then
  /// by name, as the reference implementation has them.
  init(of arrays: [String: NPYArray], metadata: [String: String]) {
    func alignment(_ type: ElementType) -> Int { typeNames.firstIndex { $0.value == type } ?? 0 }
    let inOrder = arrays.map { (name: $0, type: $1.scalars.elementType, array: $1) }.sorted {
      let (left, right) = (alignment($0.type), alignment($1.type))
      return left != right ? left > right : $0.name.utf8.lexicographicallyPrecedes($1.name.utf8)
    }
    var entries: [Entry] = []
    var start = 0
    for (name, type, array) in inOrder {
      let end = start + array.scalars.count * type.size
      entries.append(Entry(name: name, type: type, shape: array.shape, range: start..<end))
      start = end
    }
    self.init(entries: entries, metadata: metadata)
  }

  /// The header's bytes, with blanks up to a multiple of eight.
  ///
  /// - Throws: ``MalformedFile`` for an array of a name that has another meaning, and for a header that is too
  ///   long.
  func encoded() throws -> [UInt8] {
    guard !entries.contains(where: { $0.name == metadataName }) else {
      throw MalformedFile("an array cannot have the name \(metadataName)")
    }
    var members = entries.map { (name: $0.name, value: $0.encoded) }
    if !metadata.isEmpty {
      let texts = metadata.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
      members.insert((metadataName, Self.object(texts.map { ($0, $1.json) })), at: 0)
    }
    var bytes = Self.object(members)
    bytes += [UInt8](repeating: .space, count: (8 - bytes.count % 8) % 8)
    guard bytes.count <= Self.maximumLength else {
      throw MalformedFile("the header would take \(bytes.count) bytes; \(Self.maximumLength) are the most")
    }
    return bytes
  }

  /// An object in JSON, whose values are in JSON, too.
  fileprivate static func object(_ members: [(name: String, value: [UInt8])]) -> [UInt8] {
    var bytes: [UInt8] = []
    for (name, value) in members {
      bytes.append(bytes.isEmpty ? UInt8(ascii: "{") : .comma)
      bytes += name.json
      bytes.append(UInt8(ascii: ":"))
      bytes += value
    }
    return bytes.isEmpty ? Array("{}".utf8) : bytes + [UInt8(ascii: "}")]
  }
}

extension SafetensorsHeader.Entry {
  /// What the header says of the array.
  fileprivate var encoded: [UInt8] {
    let typeName = typeNames.first { $0.value == type }?.key ?? ""
    let sizes = shape.map { "\($0)" }.joined(separator: ",")
    return SafetensorsHeader.object([
      ("dtype", typeName.json), ("shape", Array("[\(sizes)]".utf8)),
      ("data_offsets", Array("[\(range.lowerBound),\(range.upperBound)]".utf8)),
    ])
  }
}
