/// The header of a `.npy` file: a Python dictionary with the entries `descr`, `fortran_order` and `shape`.
struct NPYHeader: Equatable {
  let elementType: String
  let isFortranOrder: Bool
  let shape: [Int]

  /// - Throws: ``MalformedFile``.
  init(parsing text: ArraySlice<UInt8>) throws {
    var scanner = LiteralScanner(rest: text)
    var entries: [String: Literal] = [:]
    try scanner.require("{")
    while !scanner.take("}") {
      let key = try scanner.string()
      try scanner.require(":")
      guard entries.updateValue(try scanner.literal(), forKey: key) == nil else {
        throw MalformedFile("the header has the entry '\(key)' twice")
      }
      if !scanner.take(",") {
        try scanner.require("}")
        break
      }
    }
    guard scanner.isAtEnd else { throw MalformedFile("the header goes on after its end") }
    guard case .string(let elementType)? = entries["descr"] else {
      throw MalformedFile("the header's entry 'descr' is missing or not a simple type")
    }
    guard case .bool(let isFortranOrder)? = entries["fortran_order"] else {
      throw MalformedFile("the header's entry 'fortran_order' is missing or neither True nor False")
    }
    guard case .tuple(let shape)? = entries["shape"] else {
      throw MalformedFile("the header's entry 'shape' is missing or not a tuple of sizes")
    }
    self.elementType = elementType
    self.isFortranOrder = isFortranOrder
    self.shape = shape
  }
}

/// The values that occur in headers.
private enum Literal {
  case string(String)
  case bool(Bool)
  case tuple([Int])
}

/// Reads those few Python literals that headers are made of.
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

  mutating func string() throws -> String {
    for quote in ["'", "\""] where take(quote) {
      let text = rest.prefix { $0 != quote.utf8.first }
      rest = rest.dropFirst(text.count)
      try require(quote)
      return String(decoding: text, as: UTF8.self)
    }
    throw MalformedFile("the header has something other than text where text is expected")
  }

  mutating func literal() throws -> Literal {
    if take("True") { return .bool(true) }
    if take("False") { return .bool(false) }
    if take("(") { return .tuple(try sizes()) }
    if take("[") { throw MalformedFile("arrays of records are not supported") }
    return .string(try string())
  }

  /// The rest of a tuple of whole numbers.
  private mutating func sizes() throws -> [Int] {
    var sizes: [Int] = []
    while !take(")") {
      skipSpaces()
      let digits = rest.prefix { $0 == 0x2D || (0x30...0x39).contains($0) }
      let text = String(decoding: digits, as: UTF8.self)
      rest = rest.dropFirst(digits.count)
      guard let size = Int(text), size >= 0 else {
        throw MalformedFile("the shape has the size '\(text)', which is not a legal one")
      }
      _ = take("L")  // as Python 2 wrote it
      sizes.append(size)
      if !take(",") {
        try require(")")
        break
      }
    }
    return sizes
  }
}
