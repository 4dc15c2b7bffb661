/// Reads the kinds of JSON that a header consists of: objects, texts, and lists of whole numbers.
///
/// It never recurses by itself: its caller says what comes next, and nothing else is accepted. Reference: RFC
/// 8259, "The JavaScript Object Notation (JSON) Data Interchange Format".
struct JSONScanner {
  private let text: ArraySlice<UInt8>
  private var position: Int

  /// A scanner of a text.
  ///
  /// - Throws: ``MalformedFile`` if it is not UTF-8.
  init(_ text: ArraySlice<UInt8>) throws {
    guard (try? UTF8Span(validating: text.span)) != nil else {
      throw MalformedFile("the header is not a text in UTF-8")
    }
    self.text = text
    position = text.startIndex
  }

  /// Whether nothing but blanks follows.
  var isAtEnd: Bool {
    mutating get {
      skipBlanks()
      return position == text.endIndex
    }
  }

  /// Reads an object; `member` reads the value that belongs to a name. Names may occur twice.
  ///
  /// - Throws: ``MalformedFile`` for anything else; what `member` throws.
  mutating func object(_ member: (inout JSONScanner, _ name: String) throws -> Void) throws {
    try require("{")
    guard !take("}") else { return }
    repeat {
      let name = try string()
      try require(":")
      try member(&self, name)
    } while take(",")
    try require("}")
  }

  /// Reads a list of whole numbers from zero on.
  ///
  /// - Throws: ``MalformedFile`` for anything else, and for more than `limit` numbers.
  mutating func wholeNumbers(atMost limit: Int) throws -> [Int] {
    try require("[")
    guard !take("]") else { return [] }
    var numbers: [Int] = []
    repeat {
      guard numbers.count < limit else { throw problem("a list of at most \(limit) numbers") }
      numbers.append(try wholeNumber())
    } while take(",")
    try require("]")
    return numbers
  }

  private mutating func wholeNumber() throws -> Int {
    skipBlanks()
    let digits = text[position...].prefix { $0 &- 0x30 < 10 }
    let end = digits.endIndex
    // A fraction or an exponent would follow the digits. JSON has no zeros in front.
    let goesOn = end < text.endIndex && [0x2E, 0x45, 0x65].contains(text[end])
    guard !goesOn, digits.count < 20, digits.count == 1 || digits.first != 0x30,
      let number = Int(String(decoding: digits, as: UTF8.self))
    else { throw problem("a whole number from 0 to \(Int.max)") }
    position = end
    return number
  }

  /// Reads a text in quotation marks.
  ///
  /// - Throws: ``MalformedFile`` for anything else.
  mutating func string() throws -> String {
    try require("\"")
    var decoded: [UInt8] = []
    while true {
      let plain = text[position...].prefix { $0 != .quotationMark && $0 != .backslash && $0 >= 0x20 }
      position = plain.endIndex
      guard position < text.endIndex, text[position] >= 0x20 else { throw problem("a quotation mark") }
      position += 1
      if text[position - 1] == .quotationMark {
        return decoded.isEmpty
          ? String(decoding: plain, as: UTF8.self) : String(decoding: decoded + plain, as: UTF8.self)
      }
      decoded += plain
      decoded += try escapedCharacter().utf8
    }
  }

  /// The character that what follows a backslash stands for.
  private mutating func escapedCharacter() throws -> String {
    guard position < text.endIndex else { throw problem("a character") }
    position += 1
    switch text[position - 1] {
    case .quotationMark: return "\""
    case .backslash: return "\\"
    case UInt8(ascii: "/"): return "/"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"):
      var units = [try utf16Unit()]
      if UTF16.isLeadSurrogate(units[0]), text[position...].starts(with: [.backslash, UInt8(ascii: "u")]) {
        position += 2
        units.append(try utf16Unit())
      }
      guard let character = String(validating: units, as: UTF16.self) else {
        throw problem("the number of a character")
      }
      return character
    default: throw problem("a character that a backslash may precede")
    }
  }

  private mutating func utf16Unit() throws -> UInt16 {
    let digits = text[position...].prefix(4)
    let areDigits = digits.allSatisfy { ($0 &- 0x30) < 10 || (($0 | 0x20) &- 0x61) < 6 }
    guard digits.count == 4, areDigits, let unit = UInt16(String(decoding: digits, as: UTF8.self), radix: 16)
    else { throw problem("four hexadecimal digits") }
    position += 4
    return unit
  }

  private mutating func require(_ character: Unicode.Scalar) throws {
    guard take(character) else { throw problem("\(character)") }
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    skipBlanks()
    guard position < text.endIndex, text[position] == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func skipBlanks() {
    while position < text.endIndex {
      switch text[position] {
      case .space, .tab, .lineFeed, .carriageReturn: position += 1
      default: return
      }
    }
  }

  private func problem(_ expected: String) -> MalformedFile {
    MalformedFile(
      "the header is not as it must be: \(expected) expected after its first \(position - text.startIndex) bytes"
    )
  }
}

extension UInt8 {
  fileprivate static let backslash: UInt8 = 0x5C
}

extension String {
  /// The text in quotation marks, as JSON has it.
  var json: [UInt8] {
    var bytes: [UInt8] = [.quotationMark]
    for byte in utf8 {
      switch byte {
      case .quotationMark, .backslash: bytes += [.backslash, byte]
      case 0x08: bytes += "\\b".utf8
      case .tab: bytes += "\\t".utf8
      case .lineFeed: bytes += "\\n".utf8
      case 0x0C: bytes += "\\f".utf8
      case .carriageReturn: bytes += "\\r".utf8
      case 0..<0x20: bytes += "\\u00\(byte < 0x10 ? "0" : "1")\(String(byte & 0xF, radix: 16))".utf8
      default: bytes.append(byte)
      }
    }
    return bytes + [.quotationMark]
  }
}
