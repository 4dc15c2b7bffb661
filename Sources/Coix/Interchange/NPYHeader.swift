/// The header of a `.npy` file: a Python dictionary with the entries `descr`, `fortran_order` and `shape`.
struct NPYHeader {
  /// NumPy's limit for the number of axes.
  static let maximumRank = 64

  let elementType: ElementType
  let isBigEndian: Bool
  let isFortranOrder: Bool
  let shape: [Int]
  /// The number of bytes that the array takes.
  let byteCount: Int

  /// The first bytes of every `.npy` file: `\x93NUMPY`.
  static let magic: [UInt8] = [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59]

  /// The most bytes that stand before a header.
  static let longestStart = magic.count + 6

  /// Whether bytes begin as a `.npy` file does.
  static func isNPY(_ bytes: ArraySlice<UInt8>) -> Bool { bytes.starts(with: magic) }

  /// Where the header is in a file that begins with these bytes, counted from its beginning.
  ///
  /// - Throws: ``MalformedFile``.
  static func place(in bytes: ArraySlice<UInt8>) throws -> Range<Int> {
    guard !bytes.isEmpty else { throw MalformedFile("is empty") }
    guard isNPY(bytes) else {
      throw MalformedFile("is not a npy file: it does not begin with \\x93NUMPY")
    }
    var reader = ByteReader(bytes.dropFirst(magic.count))
    let version = try reader.integer(UInt8.self, of: "the version")
    let minor = try reader.integer(UInt8.self, of: "the version")
    guard (1...3).contains(version), minor == 0 else {
      throw MalformedFile("npy version \(version).\(minor) is not supported; 1.0, 2.0 and 3.0 are")
    }
    let length =
      version == 1
      ? try reader.integer(UInt16.self, of: "the header") : try reader.integer(UInt32.self, of: "the header")
    let start = bytes.count - reader.rest.count
    return start..<(start + length)
  }

  /// - Throws: ``MalformedFile``.
  init(parsing text: ArraySlice<UInt8>) throws {
    var scanner = LiteralScanner(rest: text)
    var elementType: String?
    var isFortranOrder: Bool?
    var shape: [Int]?
    try scanner.require("{")
    while !scanner.take("}") {
      let key = try scanner.string("the name of an entry")
      try scanner.require(":")
      let isRepeated: Bool
      switch key {
      case "descr":
        isRepeated = elementType != nil
        guard !scanner.take("["), !scanner.take("(") else {
          throw MalformedFile("arrays of records are not supported; save each field as an array")
        }
        elementType = try scanner.string("the entry 'descr'")
      case "fortran_order":
        isRepeated = isFortranOrder != nil
        isFortranOrder = try scanner.bool("the entry 'fortran_order'")
      case "shape":
        isRepeated = shape != nil
        shape = try scanner.sizes()
      default: throw MalformedFile("the header has an entry '\(key.prefix(40))', which is not known")
      }
      guard !isRepeated else { throw MalformedFile("the header has the entry '\(key)' twice") }
      if !scanner.take(",") {
        try scanner.require("}")
        break
      }
    }
    guard scanner.isAtEnd else { throw MalformedFile("the header goes on after its end") }
    guard let elementType else { throw MalformedFile("the header's entry 'descr' is missing") }
    guard let isFortranOrder else { throw MalformedFile("the header's entry 'fortran_order' is missing") }
    guard let shape else { throw MalformedFile("the header's entry 'shape' is missing") }
    // Bytes in the machine's order (`=`, `|` or nothing) are little-endian on all machines that matter here.
    let description = elementType.prefix(40)
    let name = "<>=|".contains(description.first ?? " ") ? description.dropFirst() : description
    self.elementType = try ElementType(name, of: String(description))
    isBigEndian = description.hasPrefix(">")
    guard let count = shape.elementCount, count <= Int.max / self.elementType.size else {
      throw MalformedFile("the shape \(shape) has too many elements")
    }
    byteCount = count * self.elementType.size
    self.isFortranOrder = isFortranOrder
    self.shape = shape
  }
}

/// The types of numbers, as NumPy names them without the order of their bytes.
private let typeNames: KeyValuePairs<String, ElementType> = [
  "b1": .bool, "i1": .int8, "i2": .int16, "i4": .int32, "i8": .int64, "u1": .uint8, "u2": .uint16,
  "u4": .uint32, "u8": .uint64, "f2": .float16, "f4": .float32, "f8": .float64,
]

extension ElementType {
  /// - Throws: ``MalformedFile`` for a type that is not supported, with advice what to do instead.
  fileprivate init(_ name: Substring, of text: String) throws {
    if let (_, type) = typeNames.first(where: { $0.key == name }) {
      self = type
      return
    }
    let problem =
      switch name.first {
      case "c": "complex numbers (\(text)) are not supported; save their real and imaginary parts"
      case "O": "Python objects (\(text)) are not supported; save arrays of numbers"
      case "S", "U", "a": "text (\(text)) is not supported; save numbers"
      case "M", "m": "dates and times (\(text)) are not supported; save numbers"
      default:
        "the element type '\(text)' is not supported; "
          + typeNames.map(\.key).joined(separator: ", ") + " are"
      }
    throw MalformedFile(problem)
  }
}

/// Reads the few kinds of Python literals that headers consist of.
private struct LiteralScanner {
  var rest: ArraySlice<UInt8>

  var isAtEnd: Bool {
    mutating get {
      skipSpaces()
      return rest.isEmpty
    }
  }

  private mutating func skipSpaces() {
    rest = rest.drop { $0 == 0x20 || (0x09...0x0D).contains($0) }
  }

  mutating func take(_ text: String) -> Bool {
    skipSpaces()
    guard rest.starts(with: text.utf8) else { return false }
    rest = rest.dropFirst(text.utf8.count)
    return true
  }

  mutating func require(_ text: String) throws {
    guard take(text) else { throw MalformedFile("the header is not a dictionary: \(text) expected") }
  }

  mutating func string(_ what: String) throws -> String {
    for quote in ["'", "\""] where take(quote) {
      let text = rest.prefix { $0 != quote.utf8.first }
      rest = rest.dropFirst(text.count)
      try require(quote)
      try SystemMemory.require(text.count, for: what)
      return String(decoding: text, as: UTF8.self)
    }
    throw MalformedFile("the header has something other than text for \(what)")
  }

  mutating func bool(_ what: String) throws -> Bool {
    if take("True") { return true }
    if take("False") { return false }
    throw MalformedFile("the header has neither True nor False for \(what)")
  }

  /// A tuple of sizes.
  mutating func sizes() throws -> [Int] {
    guard take("(") else { throw MalformedFile("the header's entry 'shape' is not a tuple of sizes") }
    var sizes: [Int] = []
    while !take(")") {
      skipSpaces()
      let digits = rest.prefix { $0 == 0x2D || (0x30...0x39).contains($0) }
      try SystemMemory.require(digits.count, for: "the shape")
      let text = String(decoding: digits, as: UTF8.self)
      rest = rest.dropFirst(digits.count)
      guard let size = Int(text), size >= 0 else {
        throw MalformedFile("the shape has the size '\(text.prefix(40))', which is not a legal one")
      }
      _ = take("L")  // as Python 2 wrote it
      sizes.append(size)
      guard sizes.count <= NPYHeader.maximumRank else {
        throw MalformedFile("the shape has more than \(NPYHeader.maximumRank) axes")
      }
      if !take(",") {
        try require(")")
        guard sizes.count > 1 else {
          throw MalformedFile("the header's entry 'shape' is not a tuple of sizes")
        }
        break
      }
    }
    return sizes
  }
}
