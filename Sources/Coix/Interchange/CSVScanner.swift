/// Splits a text into records and their fields: RFC 4180, "Common Format and MIME Type for Comma-Separated
/// Values (CSV) Files", and the same rules for fields between tabs or blanks.
///
/// A field in quotation marks may hold separators, line breaks and blanks, and a quotation mark that is
/// written twice. Blanks around a field, outside of its quotation marks, don't belong to it. A line ends in
/// LF, CR LF or CR.
struct CSVScanner {
  /// The separator between two fields.
  enum Separator {
    case comma
    case semicolon
    case tab
    /// Any number of spaces and tabs.
    case blanks
  }

  /// The position of a field in the text.
  struct Field {
    /// The field's bytes, without the blanks and quotation marks around them.
    let range: Range<Int>
    let isQuoted: Bool
    let line: Int
  }

  let text: [UInt8]
  var separator = Separator.blanks
  private let end: Int
  private(set) var position: Int
  /// The line that `position` is in, counted from one.
  private(set) var line: Int
  /// The fields of the record that was read last; none for a line of nothing but blanks.
  private(set) var fields: [Field] = []

  /// A scanner of a part of a text, which begins at the beginning of a line.
  init(_ text: [UInt8], in range: Range<Int>, line: Int) {
    self.text = text
    position = range.lowerBound
    end = range.upperBound
    self.line = line
  }

  /// Whether the scanner is at the end of its text.
  var isAtEnd: Bool { position == end }

  /// Finds what separates fields in the line that begins at `position`: a comma if it has one, else a tab,
  /// else blanks.
  mutating func findSeparator() {
    var isQuoted = false
    var hasTab = false
    var hasText = false
    separator = .blanks
    for byte in text[position..<end] {
      switch byte {
      case .quotationMark:
        isQuoted.toggle()
        hasText = true
      case .comma where !isQuoted:
        separator = .comma
        return
      case .tab where !isQuoted: hasTab = true
      case .space where !isQuoted: break
      case .lineFeed where !isQuoted, .carriageReturn where !isQuoted:
        if hasTab, hasText { separator = .tab }
        return
      default: hasText = true
      }
    }
    if hasTab, hasText { separator = .tab }
  }

  /// The fields of the next record with a given separator; nil if its quotation marks are wrong. The scanner
  /// itself does not move.
  func record(separatedBy separator: Separator) -> [Field]? {
    var copy = self
    copy.separator = separator
    return (try? copy.readRecord()).map { copy.fields }
  }

  /// Whether the line that begins at `position` begins with `#`.
  var beginsWithNumberSign: Bool { position < end && text[position] == .numberSign }

  /// Whether the second character of the line that begins at `position` is a blank, or none.
  var hasBlankAfterFirst: Bool {
    let next = text[position..<end].dropFirst().first ?? .lineFeed
    return next == .space || next == .tab || next == .lineFeed || next == .carriageReturn
  }

  /// A scanner of the line that begins at `position`. It ends at the first line break, even one in quotation
  /// marks.
  var lineAlone: CSVScanner {
    let last = text[position..<end].firstIndex { $0 == .lineFeed || $0 == .carriageReturn } ?? end
    return CSVScanner(text, in: position..<last, line: line)
  }

  /// Skips the line that begins at `position`, up to the first line break, even one in quotation marks.
  mutating func skipLine() {
    position = lineAlone.end
    skipLineBreak()
  }

  /// Reads one record into ``fields``.
  ///
  /// - Throws: ``MalformedFile`` for wrong quotation marks.
  mutating func readRecord() throws {
    fields.removeAll(keepingCapacity: true)
    skipBlanks()
    if separator == .blanks || isAtEndOfLine {
      while !isAtEndOfLine { try readField() }
    } else {
      try readField()
      while position < end, text[position] == separatingByte {
        position += 1
        skipBlanks()
        try readField()
      }
    }
    skipLineBreak()
  }

  /// What separates fields, unless blanks do.
  private var separatingByte: UInt8 {
    switch separator {
    case .tab: .tab
    case .semicolon: .semicolon
    case .comma, .blanks: .comma
    }
  }

  private var isAtEndOfLine: Bool {
    position == end || text[position] == .lineFeed || text[position] == .carriageReturn
  }

  private func isBlank(_ byte: UInt8) -> Bool { byte == .space || byte == .tab && separator != .tab }

  private func endsField(_ byte: UInt8) -> Bool {
    switch byte {
    case .lineFeed, .carriageReturn: true
    case .comma: separator == .comma
    case .semicolon: separator == .semicolon
    case .tab: separator == .tab || separator == .blanks
    case .space: separator == .blanks
    default: false
    }
  }

  private mutating func skipBlanks() {
    while position < end, isBlank(text[position]) { position += 1 }
  }

  private mutating func skipLineBreak() {
    guard position < end else { return }
    let isCarriageReturn = text[position] == .carriageReturn
    position += 1
    if isCarriageReturn, position < end, text[position] == .lineFeed { position += 1 }
    line += 1
  }

  /// Reads a field whose first byte is at `position`, and the blanks after it.
  private mutating func readField() throws {
    if position < end, text[position] == .quotationMark {
      try readQuotedField()
      return
    }
    let start = position
    var last = position
    while position < end, !endsField(text[position]) {
      guard text[position] != .quotationMark else {
        throw problem("a quotation mark within a field that does not begin with one")
      }
      position += 1
      if !isBlank(text[position - 1]) { last = position }
    }
    try append(Field(range: start..<last, isQuoted: false, line: line))
    skipBlanks()
  }

  private mutating func readQuotedField() throws {
    let firstLine = line
    position += 1
    let start = position
    // Two quotation marks stand for one that belongs to the field.
    while position < end,
      text[position] != .quotationMark || position + 1 < end && text[position + 1] == .quotationMark
    {
      switch text[position] {
      case .quotationMark: position += 2
      case .lineFeed, .carriageReturn: skipLineBreak()
      default: position += 1
      }
    }
    guard position < end else {
      line = firstLine
      throw problem("the quotation mark is never closed")
    }
    let last = position
    position += 1
    let isSeparated = position == end || endsField(text[position])
    skipBlanks()
    guard isSeparated || separator != .blanks && (position == end || endsField(text[position])) else {
      throw problem("a closing quotation mark is followed by something other than a separator")
    }
    try append(Field(range: start..<last, isQuoted: true, line: firstLine))
  }

  private mutating func append(_ field: Field) throws {
    try fields.requireMemory(forMore: 1, of: "fields")
    fields.append(field)
  }

  private func problem(_ what: String) -> MalformedFile {
    MalformedFile("line \(line), column \(fields.count + 1): \(what)")
  }

  /// A field's text, each doubled quotation mark as one.
  func string(_ field: Field) -> String {
    var bytes = text[field.range]
    if field.isQuoted {
      var isSecond = false
      bytes.removeAll { byte in
        isSecond = byte == .quotationMark && !isSecond
        return byte == .quotationMark && !isSecond
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

extension UInt8 {
  static let tab: UInt8 = 0x09
  static let lineFeed: UInt8 = 0x0A
  static let carriageReturn: UInt8 = 0x0D
  static let space: UInt8 = 0x20
  static let quotationMark: UInt8 = 0x22
  static let numberSign: UInt8 = 0x23
  static let comma: UInt8 = 0x2C
  static let semicolon: UInt8 = 0x3B
}
