import CoixParallel

/// A table of numbers, as a text file holds it: one row a line, fields separated by commas, by tabs, or by
/// blanks.
///
/// ```swift
/// let table = try CSVTable(contentsOf: "people.csv", missing: ["NA"])
/// let age = try table["age"]
/// let inputs = try table[["height", "weight"]]
/// ```
///
/// What is between the fields is found in the first line: a comma if it has one, else a tab, else any number
/// of blanks. Quotation marks are those of RFC 4180: what is between them may hold separators, line breaks
/// and blanks, and a quotation mark as two. The text is UTF-8, with or without a byte-order mark, its lines
/// end in LF, CR LF or CR.
///
/// Numbers are decimal (`-1.5e3`), or `inf`, and are rounded to the nearest `Float`; one that is beyond its
/// range is an error. So is every field that is not a number, `nan` too, unless it is among those that stand
/// for a missing one.
///
/// No row is lost: what can't be read is an error, with its line and column. Only empty lines are passed over
/// (not between the rows of a table of one column, where one may stand for a missing number), and comments.
public struct CSVTable: Equatable, Sendable {
  /// Whether the first line names the columns.
  public enum Header: Sendable {
    /// It does if none of its fields is a number, and not all look like missing ones (`NA`, `n/a`, `#N/A`,
    /// `null`, `0x10`).
    case detected
    /// It does, even by numbers, such as years.
    case present
    /// It is a row.
    case absent
  }

  /// Which lines are comments, and passed over.
  public enum Comments: Sendable {
    /// Those before the first row whose first character is `#`.
    ///
    /// One that may as well be a row is an error: with no blank after the `#`, and numbers in all further
    /// fields.
    case beforeRows
    /// All whose first character is `#`.
    case everywhere
    /// None.
    case none
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
  ///   - header: Whether the first line names the columns.
  ///   - comments: Which lines are comments.
  ///   - missing: What stands for a missing number and is read as NaN, such as `["NA", "nan", ""]`. Nothing
  ///     by default.
  /// - Throws: `CoixError.file(path:reason:)`, with line and column of what is wrong.
  public init(
    contentsOf path: String, header: Header = .detected, comments: Comments = .beforeRows,
    missing: Set<String> = []
  ) throws {
    self = try WholeFile.read(path) { bytes in
      var reader = CSVReader(text: bytes, header: header, comments: comments, missing: missing)
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
