/// The header of a `.npy` file: a Python dictionary with the entries `descr`, `fortran_order` and `shape`.
struct NPYHeader: Equatable {
  /// NumPy's limit for the number of axes.
  static let maximumRank = 64

  let elementType: String
  let isFortranOrder: Bool
  let shape: [Int]

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
    self.elementType = elementType
    self.isFortranOrder = isFortranOrder
    self.shape = shape
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
