import CoixParallel

/// A table of numbers, as a text file holds it: one row a line, fields separated by commas or by spaces and tabs.
///
/// The first line may name the columns. Empty lines and lines that begin with `#` are passed over, quotation marks around a
/// field and a byte-order mark too. The text is UTF-8. `nan` and `inf` are numbers.
public struct CSVTable: Equatable, Sendable {
  /// The names of the columns; nil if the first line has numbers.
  public let columnNames: [String]?
  /// The number of columns.
  public let columnCount: Int
  /// The numbers, row by row.
  public let scalars: [Float]

  /// The number of rows.
  public var rowCount: Int { scalars.count / columnCount }

  /// Reads a text file.
  ///
  /// - Throws: `CoixError.file(path:reason:)`, with line and column of what is wrong.
  public init(contentsOf path: String) throws {
    self = try WholeFile.read(path) { try CSVTable(parsing: $0[...]) }
  }

  /// The numbers, `[rows, columns]`.
  ///
  /// - Throws: `CoixError.shape(operation:shapes:reason:)` for more rows than tensors can have.
  public func tensor() throws -> Tensor {
    try Tensor(scalars, shape: [rowCount, columnCount]).validated()
  }

  /// - Throws: ``MalformedFile``.
  init(parsing bytes: ArraySlice<UInt8>) throws {
    let text = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes
    guard !text.contains(0), String(validating: text, as: UTF8.self) != nil else {
      throw MalformedFile("is not a text in UTF-8")
    }
    var names: [String]?
    var firstLine = 0
    var width = 0
    var scalars: [Float] = []
    for (offset, line) in text.lines.enumerated() {
      let fields = line.fields
      guard !fields.isEmpty, fields[0].first != UInt8(ascii: "#") else { continue }
      if width == 0 {
        width = fields.count
        firstLine = offset + 1
        if fields.allSatisfy({ Float($0.string) == nil }), fields.contains(where: { !$0.isEmpty }) {
          names = fields.map(\.string)
          continue
        }
      }
      guard fields.count == width else {
        throw MalformedFile(
          "line \(offset + 1) has \(fields.counted("column")), line \(firstLine) has \(width)")
      }
      for (column, field) in fields.enumerated() {
        scalars.append(try field.number(line: offset + 1, column: column + 1))
      }
    }
    guard !scalars.isEmpty else { throw MalformedFile(bytes.isEmpty ? "is empty" : "has no rows of numbers") }
    columnNames = names
    columnCount = width
    self.scalars = scalars
  }
}

extension ArraySlice<UInt8> {
  /// The lines, whether they end in LF, CR LF or CR.
  fileprivate var lines: some Sequence<ArraySlice<UInt8>> {
    sequence(state: (rest: self, isDone: false)) { state in
      guard !state.isDone else { return nil }
      let line = state.rest.prefix { $0 != 0x0A && $0 != 0x0D }
      let end = state.rest[line.endIndex...]
      state.isDone = end.isEmpty
      state.rest = end.dropFirst(end.starts(with: [0x0D, 0x0A]) ? 2 : 1)
      return line
    }
  }

  /// A line's fields: between commas if it has any, else between blanks.
  fileprivate var fields: [ArraySlice<UInt8>] {
    contains(UInt8(ascii: ","))
      ? split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false).map(\.trimmed)
      : split(whereSeparator: \.isBlank).map(\.trimmed)
  }

  /// Without blanks around it, then without quotation marks.
  private var trimmed: ArraySlice<UInt8> {
    var result = drop(while: \.isBlank)
    while result.last?.isBlank ?? false { result.removeLast() }
    let quote = UInt8(ascii: "\"")
    return result.count >= 2 && result.first == quote && result.last == quote
      ? result.dropFirst().dropLast() : result
  }

  fileprivate var string: String { String(decoding: self, as: UTF8.self) }

  fileprivate func number(line: Int, column: Int) throws -> Float {
    func problem(_ what: String) -> MalformedFile { MalformedFile("line \(line), column \(column): \(what)") }
    guard !isEmpty else { throw problem("is empty") }
    guard let number = Float(string) else {
      throw problem("'\(string.prefix(40))' is not a number")
    }
    // A decimal beyond the greatest Float is read as infinity, which only the word should give.
    guard number.isFinite || number.isNaN || string.lowercased().contains("inf") else {
      throw problem("\(string.prefix(40)) is beyond the range of 32-bit floating point")
    }
    return number
  }
}

extension Array {
  fileprivate func counted(_ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
}

extension UInt8 {
  fileprivate var isBlank: Bool { self == 0x20 || self == 0x09 }
}
