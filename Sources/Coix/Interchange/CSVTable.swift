import CoixParallel

/// A table of numbers, as a text file holds it: one row a line, fields separated by commas, semicolons, tabs, or
/// blanks.
///
/// ```swift
/// let table = try CSVTable(contentsOf: "people.csv", missing: ["NA"])
/// let age = try table["age"]
/// let inputs = try table[["height", "weight"]]
/// ```
///
/// The first line determines the separator between fields: a comma if the line has one, else a tab, else any
/// number of blanks; `separator:` says it instead, and semicolons need that. Quotation marks follow RFC 4180: a field between them may hold separators, line breaks
/// and blanks, and a quotation mark that is written twice. The text is UTF-8, with or without a byte-order
/// mark; its lines end in LF, CR LF or CR.
///
/// Numbers are decimal (`-1.5e3`), or `inf`, and are rounded to the nearest `Float`; a number beyond the
/// range of `Float` is an error. Every field that is not a number, `nan` included, is an error, too, unless
/// it is one of those that stand for a missing number.
///
/// No row is lost: a field that can't be read is an error, with its line and column. Only comments and empty
/// lines are skipped; but between the rows of a table of one column, an empty line counts as an empty field,
/// which may stand for a missing number.
public struct CSVTable: Equatable, Sendable {
  /// Whether the first line names the columns.
  public enum Header: Sendable {
    /// The first line has names if none of its fields is a number, and not all of them look like missing
    /// numbers (`NA`, `n/a`, `#N/A`, `null`, `0x10`).
    case detected
    /// The first line has names, even if they are numbers, such as years.
    case present
    /// The first line is a row.
    case absent
  }

  /// Which lines are comments, and are skipped.
  public enum Comments: Sendable {
    /// The lines before the first row whose first character is `#`.
    ///
    /// Such a line is an error if it could also be a row: if it has no blank after the `#`, and numbers in
    /// all further fields.
    case beforeRows
    /// All lines whose first character is `#`.
    case everywhere
    /// No lines.
    case none
  }

  /// What stands between the fields of a line.
  public enum Separator: Sendable {
    /// A comma if the first line has one, else a tab, else any number of blanks.
    case detected
    /// A comma.
    case comma
    /// A semicolon. Numbers have a decimal point in these files, too.
    case semicolon
    /// A tab.
    case tab
    /// Any number of spaces and tabs.
    case blanks
  }

  /// The names of the columns, all different; nil if the first line has numbers.
  public let columnNames: [String]?
  /// The number of columns.
  public let columnCount: Int
  /// The numbers, row by row.
  public let scalars: [Float]

  /// The number of rows.
  public var rowCount: Int { scalars.count / columnCount }

  /// Reads a text file.
  ///
  /// - Parameters:
  ///   - path: The file's path.
  ///   - separator: What stands between the fields of a line.
  ///   - header: Whether the first line names the columns.
  ///   - comments: Which lines are comments.
  ///   - missing: The fields that stand for a missing number and are read as NaN, such as
  ///     `["NA", "nan", ""]`. None by default.
  /// - Throws: `CoixError.file(path:reason:)`, with the line and column of the mistake.
  public init(
    contentsOf path: String, separator: Separator = .detected, header: Header = .detected,
    comments: Comments = .beforeRows, missing: Set<String> = []
  ) throws {
    self = try WholeFile.read(path) { bytes in
      var reader = CSVReader(
        text: bytes, separator: separator, header: header, comments: comments, missing: missing)
      return try reader.table()
    }
  }

  init(columnNames: [String]?, columnCount: Int, scalars: [Float]) {
    self.columnNames = columnNames
    self.columnCount = columnCount
    self.scalars = scalars
  }

  /// The numbers, `[rows, columns]`.
  ///
  /// - Throws: `CoixError.shape(operation:shapes:reason:)` for more rows than tensors can have.
  public func tensor() throws -> Tensor {
    try Tensor(scalars, shape: [rowCount, columnCount]).validated()
  }

  /// The numbers of a column, `[rows]`.
  ///
  /// - Throws: `CoixError.argument(_:)` if no column has that name.
  public subscript(name: String) -> Tensor {
    get throws {
      let column = try index(of: name)
      let numbers = (0..<rowCount).lazy.map { scalars[$0 * columnCount + column] }
      return try Tensor(numbers, shape: [rowCount]).validated()
    }
  }

  /// The numbers of some columns, `[rows, names.count]`, in the order of the names.
  ///
  /// - Throws: `CoixError.argument(_:)` if no column has one of the names.
  public subscript(names: [String]) -> Tensor {
    get throws {
      let columns = try names.map(index)
      let shape: Shape = [rowCount, columns.count]
      let numbers = (0..<max(shape.elementCount, 0)).lazy.map {
        scalars[$0 / columns.count * columnCount + columns[$0 % columns.count]]
      }
      return try Tensor(numbers, shape: shape).validated()
    }
  }

  private func index(of name: String) throws -> Int {
    guard let columnNames else {
      throw CoixError.argument(
        "the table has no column '\(name)': its columns have no names, the first line has numbers")
    }
    guard let index = columnNames.firstIndex(of: name) else {
      let known = columnNames.prefix(20).map { "'\($0)'" }.joined(separator: ", ")
      let others = columnNames.count > 20 ? " and \(columnNames.count - 20) others" : ""
      throw CoixError.argument("the table has no column '\(name)'; it has \(known)\(others)")
    }
    return index
  }
}
