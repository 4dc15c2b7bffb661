/// Makes a table of numbers from a text: finds names and comments, and turns fields into numbers.
struct CSVReader {
  private let text: [UInt8]
  private let findsSeparator: Bool
  private let header: CSVTable.Header
  private let comments: CSVTable.Comments
  private let missing: [[UInt8]]

  private var scanner: CSVScanner
  /// The lines before the first row that were skipped as comments. They are checked again when the width is
  /// known.
  private var commentsBefore: [CSVScanner] = []
  private var columnNames: [String]?
  private var width = 0
  /// The number of the line that determined the width.
  private var firstLine = 0
  private var scalars: [Float] = []

  init(
    text: [UInt8], separator: CSVTable.Separator, header: CSVTable.Header, comments: CSVTable.Comments,
    missing: Set<String>
  ) {
    self.text = text
    findsSeparator = separator == .detected
    self.header = header
    self.comments = comments
    self.missing = missing.map { Array($0.utf8) }
    let start = text.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    scanner = CSVScanner(text, in: start..<text.count, line: 1)
    switch separator {
    case .comma: scanner.separator = .comma
    case .semicolon: scanner.separator = .semicolon
    case .tab: scanner.separator = .tab
    case .detected, .blanks: scanner.separator = .blanks
    }
  }

  /// - Throws: ``MalformedFile``.
  mutating func table() throws -> CSVTable {
    guard !text.isEmpty else { throw MalformedFile("is empty") }
    guard !text.contains(0), (try? UTF8Span(validating: text.span)) != nil else {
      throw MalformedFile("is not a text in UTF-8")
    }
    // The numbers of the empty lines since the last row, for a table of one column.
    var emptyLines: [Int] = []
    while !scanner.isAtEnd {
      if width == 0, findsSeparator { scanner.findSeparator() }
      if try skipComment() { continue }
      let line = scanner.line
      let beginsWithNumberSign = scanner.beginsWithNumberSign
      try scanner.readRecord()
      if scanner.fields.isEmpty {
        if width == 1, !scalars.isEmpty {
          try emptyLines.requireMemory(forMore: 1, of: "empty lines")
          emptyLines.append(line)
        }
        continue
      }
      if width == 0 {
        width = scanner.fields.count
        firstLine = line
        if isHeader {
          columnNames = try names()
          continue
        }
      }
      try scalars.requireMemory(forMore: emptyLines.count)
      for line in emptyLines {
        scalars.append(try number(CSVScanner.Field(range: 0..<0, isQuoted: false, line: line), column: 1))
      }
      emptyLines.removeAll()
      do { try appendRow(line: line) } catch let problem as MalformedFile where beginsWithNumberSign {
        throw MalformedFile(
          "\(problem.reason) (lines that begin with # are comments before the first row only, or with comments: .everywhere)"
        )
      }
    }
    guard !scalars.isEmpty else { throw MalformedFile("has no rows of numbers") }
    return CSVTable(columnNames: columnNames, columnCount: width, scalars: scalars)
  }

  // MARK: Comments

  /// Skips the next line if it is a comment; returns whether it was.
  private mutating func skipComment() throws -> Bool {
    guard scanner.beginsWithNumberSign, comments != .none else { return false }
    if comments == .beforeRows {
      guard scalars.isEmpty else { return false }
      let line = scanner.lineAlone
      if let first = line.record(separatedBy: scanner.separator)?.first, isMissing(first) { return false }
      try commentsBefore.requireMemory(forMore: 1, of: "comments")
      commentsBefore.append(line)
    }
    scanner.skipLine()
    return true
  }

  /// Throws if a line that was skipped as a comment could also be a row, which would then be lost.
  private func checkCommentsBefore() throws {
    for line in commentsBefore where !line.hasBlankAfterFirst {
      guard let fields = line.record(separatedBy: scanner.separator), fields.count == width,
        let first = fields.first, fields.dropFirst().allSatisfy({ isMissing($0) || isNumber($0) }),
        width > 1 || Self.errorValues.contains(scanner.string(first))
      else { continue }
      throw MalformedFile(
        "line \(line.line), column 1: '\(scanner.string(first).prefix(40))' is not a number; "
          + "if the line is a comment, read it with comments: .everywhere")
    }
  }

  /// The words that spreadsheets write where there is no value.
  private static let errorValues: Set = [
    "#N/A", "#DIV/0!", "#REF!", "#VALUE!", "#NAME?", "#NUM!", "#NULL!",
  ]

  // MARK: Names

  /// Whether the first record names the columns.
  private var isHeader: Bool {
    switch header {
    case .present: true
    case .absent: false
    case .detected: !scanner.fields.contains(where: isNumber) && !scanner.fields.allSatisfy(looksLikeRow)
    }
  }

  private func names() throws -> [String] {
    // Each name takes memory for a copy and for an entry of the dictionary.
    try SystemMemory.require(
      64 * scanner.fields.count + scanner.fields.reduce(0) { $0 + $1.range.count }, for: "the columns' names")
    let names = scanner.fields.map(scanner.string)
    var columns: [String: Int] = [:]
    for (index, name) in names.enumerated() {
      if let other = columns.updateValue(index, forKey: name) {
        throw MalformedFile(
          "line \(scanner.fields[index].line): columns \(other + 1) and \(index + 1) have the same name '\(name.prefix(40))'"
        )
      }
    }
    return names
  }

  /// Whether a field is more likely part of a row than a column's name: it stands for a missing number, or
  /// begins like a number.
  private func looksLikeRow(_ field: CSVScanner.Field) -> Bool {
    let first = text[field.range].first { $0 != 0x2B && $0 != 0x2D && $0 != 0x2E }
    return isMissing(field) || isMissingWord(field) || first.map { (0x30...0x39).contains($0) } ?? true
  }

  /// Whether a field is what programs usually write where there is no number.
  private func isMissingWord(_ field: CSVScanner.Field) -> Bool {
    let word = scanner.string(field).uppercased()
    return Self.missingWords.contains(word) || Self.errorValues.contains(word)
  }

  private static let missingWords: Set = ["", "NA", "N/A", "<NA>", "NAN", "NULL", "NONE", "?"]

  // MARK: Rows

  private mutating func appendRow(line: Int) throws {
    guard scanner.fields.count == width else {
      let columns = "\(scanner.fields.count) column\(scanner.fields.count == 1 ? "" : "s")"
      let advice = scanner.fields.contains(where: hasSemicolon) ? Self.semicolonAdvice : ""
      throw MalformedFile("line \(line) has \(columns), line \(firstLine) has \(width)\(advice)")
    }
    if scalars.isEmpty { try checkCommentsBefore() }
    try scalars.requireMemory(forMore: width)
    for column in 0..<width { scalars.append(try number(scanner.fields[column], column: column + 1)) }
  }

  /// A field's bytes, without the blanks just inside its quotation marks, which don't matter for a number.
  private func bytes(_ field: CSVScanner.Field) -> ArraySlice<UInt8> {
    var bytes = text[field.range]
    guard field.isQuoted else { return bytes }
    bytes = bytes.drop { $0 == .space || $0 == .tab }
    while let last = bytes.last, last == .space || last == .tab { bytes.removeLast() }
    return bytes
  }

  private func isMissing(_ field: CSVScanner.Field) -> Bool {
    !missing.isEmpty && missing.contains { $0.elementsEqual(bytes(field)) }
  }

  private func isNumber(_ field: CSVScanner.Field) -> Bool {
    DecimalNumber.parse(bytes(field)) != .notANumber
  }

  private func number(_ field: CSVScanner.Field, column: Int) throws -> Float {
    if isMissing(field) { return .nan }
    switch DecimalNumber.parse(bytes(field)) {
    case .number(let number): return number
    case .beyondRange: throw problem(field, column, "is beyond the range of 32-bit floating point")
    case .notANumber: throw problem(field, column, field.range.isEmpty ? "is empty" : "is not a number")
    }
  }

  /// Whether semicolons may separate more fields here, which nobody has said they do.
  private func hasSemicolon(_ field: CSVScanner.Field) -> Bool {
    findsSeparator && !field.isQuoted && text[field.range].contains(.semicolon)
  }

  private static let semicolonAdvice =
    "; the separator seems to be ';': CSVTable(contentsOf:separator:) takes .semicolon"

  private func problem(_ field: CSVScanner.Field, _ column: Int, _ what: String) -> MalformedFile {
    let string = scanner.string(field).prefix(40)
    let advice =
      if hasSemicolon(field) {
        Self.semicolonAdvice
      } else if isMissingWord(field) {
        "; missing: [\"\(string)\"] reads it as NaN"
      } else if scalars.count < width, header == .detected, columnNames == nil, !isNumber(field) {
        "; if the line names the columns, read it with header: .present"
      } else { "" }
    return MalformedFile(
      "line \(field.line), column \(column): \(field.range.isEmpty ? "" : "'\(string)' ")\(what)\(advice)")
  }
}
