/// A JSON document. Numbers stay as they are written: a float32 must be parsed as one, not by way of Double.
enum JSON: Sendable {
  case null
  case bool(Bool)
  case number(String)
  case string(String)
  case array([JSON])
  case object([String: JSON])

  /// Why a text is not JSON.
  struct Malformed: Error, CustomStringConvertible {
    let offset: Int
    let expectation: String
    var description: String { "malformed JSON at byte \(offset): expected \(expectation)" }
  }

  /// Reads a whole document.
  init(parsing bytes: [UInt8]) throws {
    var parser = JSONParser(bytes: bytes)
    self = try parser.document()
  }

  subscript(key: String) -> JSON? {
    if case .object(let members) = self { members[key] } else { nil }
  }
  var array: [JSON]? {
    if case .array(let elements) = self { elements } else { nil }
  }
  var string: String? {
    if case .string(let string) = self { string } else { nil }
  }
  var bool: Bool? {
    if case .bool(let bool) = self { bool } else { nil }
  }
  var integer: Int? {
    if case .number(let text) = self { Int(text) } else { nil }
  }
  /// A number; "NaN" and the infinities are strings in JSON.
  var float: Float? {
    switch self {
    case .number(let text): Float(text)
    case .string("NaN"): .nan
    case .string("Infinity"): .infinity
    case .string("-Infinity"): -.infinity
    default: nil
    }
  }
}

private struct JSONParser {
  let bytes: [UInt8]
  private var position = 0

  init(bytes: [UInt8]) { self.bytes = bytes }

  mutating func document() throws -> JSON {
    let value = try value()
    skipSpace()
    guard position == bytes.count else { throw failure("the end") }
    return value
  }

  private func failure(_ expectation: String) -> JSON.Malformed {
    JSON.Malformed(offset: position, expectation: expectation)
  }

  private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
  }

  private mutating func take(_ character: Character) -> Bool {
    skipSpace()
    guard next == character.asciiValue else { return false }
    position += 1
    return true
  }

  private mutating func require(_ character: Character) throws {
    guard take(character) else { throw failure("\"\(character)\"") }
  }

  private mutating func value() throws -> JSON {
    skipSpace()
    switch next {
    case UInt8(ascii: "{"): return .object(try members())
    case UInt8(ascii: "["): return .array(try elements())
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "n"): return try word()
    default: return try number()
    }
  }

  private mutating func members() throws -> [String: JSON] {
    try require("{")
    var members: [String: JSON] = [:]
    if take("}") { return members }
    repeat {
      skipSpace()
      let key = try string()
      try require(":")
      members[key] = try value()
    } while take(",")
    try require("}")
    return members
  }

  private mutating func elements() throws -> [JSON] {
    try require("[")
    var elements: [JSON] = []
    if take("]") { return elements }
    repeat { elements.append(try value()) } while take(",")
    try require("]")
    return elements
  }

  private mutating func word() throws -> JSON {
    for (word, value) in [("true", JSON.bool(true)), ("false", .bool(false)), ("null", .null)]
    where bytes[position...].starts(with: word.utf8) {
      position += word.utf8.count
      return value
    }
    throw failure("a value")
  }

  private mutating func number() throws -> JSON {
    let start = position
    while let byte = next, (0x30...0x39).contains(byte) || [0x2B, 0x2D, 0x2E, 0x45, 0x65].contains(byte) {
      position += 1
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    guard Double(text) != nil else { throw failure("a number") }
    return .number(text)
  }

  private mutating func string() throws -> String {
    try require("\"")
    var text: [UInt8] = []
    while let byte = next {
      position += 1
      switch byte {
      case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
      case UInt8(ascii: "\\"): try escape(into: &text)
      default: text.append(byte)
      }
    }
    throw failure("the end of a string")
  }

  private mutating func escape(into text: inout [UInt8]) throws {
    let simple: [Character: String] = [
      "\"": "\"", "\\": "\\", "/": "/", "b": "\u{8}", "f": "\u{c}", "n": "\n", "r": "\r", "t": "\t",
    ]
    guard let byte = next else { throw failure("an escape") }
    position += 1
    if let plain = simple[Character(UnicodeScalar(byte))] {
      text += plain.utf8
    } else if byte == UInt8(ascii: "u") {
      var units = [try codeUnit()]
      if (0xD800..<0xDC00).contains(units[0]), bytes[position...].starts(with: "\\u".utf8) {
        position += 2
        units.append(try codeUnit())
      }
      text += String(decoding: units, as: UTF16.self).utf8
    } else {
      throw failure("an escape")
    }
  }

  private mutating func codeUnit() throws -> UInt16 {
    guard position + 4 <= bytes.count,
      let unit = UInt16(String(decoding: bytes[position..<position + 4], as: UTF8.self), radix: 16)
    else { throw failure("four hexadecimal digits") }
    position += 4
    return unit
  }
}
