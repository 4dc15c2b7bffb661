/// Splits a text into records and their fields: RFC 4180, "Common Format and MIME Type for Comma-Separated
/// Values (CSV) Files", and the same rules for fields between tabs or blanks.
///
/// A field in quotation marks may hold separators, line breaks and blanks, and a quotation mark as two.
/// Blanks around a field, outside of its quotation marks, don't belong to it. A line ends in LF, CR LF or CR.
struct CSVScanner {
  /// What is between two fields.
  enum Separator {
    case comma
    case tab
    /// Any number of spaces and tabs.
    case blanks
  }

  /// Where a field is.
  struct Field {
    /// Its bytes, without blanks and quotation marks around it.
    let range: Range<Int>
    let isQuoted: Bool
    let line: Int
  }

  let text: [UInt8]
  private(set) var separator = Separator.blanks
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

  /// Whether nothing is left.
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

  /// Reads one record with given separators, if there is one and its quotation marks make sense.
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

  /// A scanner of the line that begins at `position`, quotation marks or not.
  var lineAlone: CSVScanner {
    let last = text[position..<end].firstIndex { $0 == .lineFeed || $0 == .carriageReturn } ?? end
    return CSVScanner(text, in: position..<last, line: line)
  }

  /// Passes over the line that begins at `position`, quotation marks or not.
  mutating func skipLine() {
    position = lineAlone.end
    skipLineBreak()
  }

  /// Reads one record into ``fields``.
  ///
  /// - Throws: ``MalformedFile`` for quotation marks that make no sense.
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

  private var separatingByte: UInt8 { separator == .tab ? .tab : .comma }

  private var isAtEndOfLine: Bool {
    position == end || text[position] == .lineFeed || text[position] == .carriageReturn
  }

  private func isBlank(_ byte: UInt8) -> Bool { byte == .space || byte == .tab && separator != .tab }

  private func endsField(_ byte: UInt8) -> Bool {
    switch byte {
    case .lineFeed, .carriageReturn: true
    case .comma: separator == .comma
    case .tab: separator != .comma
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
    // Two quotation marks are one that belongs to the field.
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
}
