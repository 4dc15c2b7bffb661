import Coix
import Foundation
import Testing

@Suite struct CSVTests {
  private func read(
    _ text: String, separator: CSVTable.Separator = .detected, header: CSVTable.Header = .detected,
    comments: CSVTable.Comments = .beforeRows,
    missing: Set<String> = []
  ) throws -> CSVTable {
    try withFile(Array(text.utf8), "a.csv") {
      try CSVTable(contentsOf: $0, separator: separator, header: header, comments: comments, missing: missing)
    }
  }

  @Test(arguments: [
    "1,2\n3,4.5\n", "1,2\r\n3,4.5\r\n", "1,2\r3,4.5", "1 2\n3\t4.5\n", "  1   2  \n\n\n 3 4.5",
    "\u{FEFF}1,2\n3,4.5\n",
    "# x, y\n1, 2\n3 , 4.5\n", "\"1\",\"2\"\n\"3\",\"4.5\"\n", "1e0,+2\n.3e1,45e-1", "1\t2\n 3\t 4.5 ",
    "\" 1\", 2.\n3,\"4.5 \"",
  ])
  func readsNumbers(_ text: String) throws {
    let table = try read(text)
    #expect(table.columnNames == nil)
    #expect(table.columnCount == 2)
    #expect(table.rowCount == 2)
    #expect(table.scalars == [1, 2, 3, 4.5])
    #expect(try table.tensor().shape == [2, 2])
  }

  @Test func readsNamesOfColumns() throws {
    #expect(try read("\"x\",y\n1,2\n").columnNames == ["x", "y"])
    #expect(try read("x y\n1 2\n").scalars == [1, 2])
    #expect(try read(",x\n1,2\n").columnNames == ["", "x"])
    #expect(try read("größe\n1\n").columnNames == ["größe"])
  }

  @Test func separatorsCanBeChosen() throws {
    for (separator, text) in [
      (CSVTable.Separator.semicolon, "x;y z\n1; 2\n\"3\";4.5"), (.comma, "x,y z\n1, 2\n3,4.5"),
      (.tab, "x\ty z\n1\t 2\n3\t4.5"), (.blanks, "x \"y z\"\n1 2\n3\t4.5"),
    ] {
      let table = try read(text, separator: separator)
      #expect(table.columnNames == ["x", "y z"] && table.scalars == [1, 2, 3, 4.5], "\(separator)")
    }
    // What the first line would say otherwise.
    #expect(try read("a,b;c\n1;2\n", separator: .semicolon).columnNames == ["a,b", "c"])
    #expect(try read("# a; b\n1;\n", separator: .semicolon, missing: [""]).columnCount == 2)
    #expect(
      message { try read("1,5;2\n", separator: .semicolon) }?.contains("'1,5' is not a number; if the line")
        == true)
  }

  @Test func readsQuotationMarks() throws {
    let table = try read("\"a,b\",c,\"a \"\"q\"\"\",\" d \",\"two\r\nlines\"\n1,2,3,4,5\n")
    #expect(table.columnNames == ["a,b", "c", "a \"q\"", " d ", "two\r\nlines"])
    #expect(table.scalars == [1, 2, 3, 4, 5])
    #expect(try read("\"\",\"\"\"\"\n1,2\n").columnNames == ["", "\""])
    #expect(try read("\"first name\" second\n1 2\n").columnNames == ["first name", "second"])
  }

  @Test func readsWhatIsNotFinite() throws {
    #expect(try read("1,inf\n-inf,+Infinity\n").scalars == [1, .infinity, -.infinity, .infinity])
    let table = try read("#N/A,1\nnan,\"\"\n-,\n", missing: ["#N/A", "nan", "", "-"])
    #expect(table.scalars.map(\.isNaN) == [true, false, true, true, true, true])
    #expect(table.scalars[1] == 1)
    // A number can stand for a missing one, too.
    #expect(try read("-999,1\n", missing: ["-999"]).scalars[0].isNaN)
  }

  @Test func anEmptyLineOfOneColumnMayBeARow() throws {
    #expect(try read("x\n\n1\n2\n\n\n").scalars == [1, 2])
    let scalars = try read("x\n\n1\n\n2\n\n", missing: [""]).scalars
    #expect(scalars.count == 3 && scalars[1].isNaN && scalars[2] == 2)
  }

  @Test func aHeaderCanBeSaidToBeOne() throws {
    #expect(try read("2019,2020\n1,2\n", header: .present).columnNames == ["2019", "2020"])
    #expect(try read("1st,2nd\n1,2\n", header: .present).scalars == [1, 2])
    #expect(try read("NA,x\n1,2\n").columnNames == ["NA", "x"])
    #expect(try read("NA,NA\n1,2\n", header: .absent, missing: ["NA"]).rowCount == 2)
  }

  @Test func commentsStandBeforeTheRowsOrEverywhere() throws {
    #expect(try read("# a\nx,y\n#b\n1,2\n").scalars == [1, 2])
    #expect(try read("# 5,6\n#5,6,7\n1,2\n").scalars == [1, 2])
    #expect(try read("#comment\n1\n2\n").scalars == [1, 2])
    #expect(try read("# don't \"quote\n1,2\n").scalars == [1, 2])
    #expect(try read("#5,6\n1,2\n#7,8\n", comments: .everywhere).scalars == [1, 2])
    #expect(try read("#,x\n1,2\n", comments: .none).columnNames == ["#", "x"])
  }

  @Test func columnsHaveNames() throws {
    let table = try read("age,height\n30,1.5\n40,2\n")
    #expect(try table["age"].scalars == [30, 40])
    #expect(try table["age"].shape == [2])
    #expect(try table["height"].scalars == [1.5, 2])
    #expect(try table[["height", "age"]].scalars == [1.5, 30, 2, 40])
    #expect(try table[["height"]].shape == [2, 1])
    #expect(throws: CoixError.argument("the table has no column 'agee'; it has 'age', 'height'")) {
      try table["agee"]
    }
    #expect(throws: CoixError.argument("the table has no column 'x'; it has 'age', 'height'")) {
      try table[["age", "x"]]
    }
    let plain = try read("1,2\n")
    #expect(
      throws: CoixError.argument(
        "the table has no column 'age': its columns have no names, the first line has numbers")
    ) { try plain["age"] }
    let wide = try read(
      (0..<22).map { "c\($0)" }.joined(separator: ",") + "\n"
        + Array(repeating: "1", count: 22).joined(separator: ","))
    let error = #expect(throws: CoixError.self) { try wide["x"] }
    #expect(error?.description.hasSuffix("'c19' and 2 others") == true)
  }

  private static let semicolons =
    "; the separator seems to be ';': CSVTable(contentsOf:separator:) takes .semicolon"

  @Test(arguments: [
    ("", "is empty"), ("\n \n", "has no rows of numbers"), ("x,y\n", "has no rows of numbers"),
    ("# only\n", "has no rows of numbers"),
    ("1,2\n3\n", "line 2 has 1 column, line 1 has 2"),
    ("1,2\n3 4\n", "line 2 has 1 column, line 1 has 2"),
    ("x,y\n1,2\n\n1,2,3\n", "line 4 has 3 columns, line 1 has 2"),
    ("1\t\t3\n", "line 1, column 2: is empty; missing: [\"\"] reads it as NaN"),
    ("1,2\n3,abc\n", "line 2, column 2: 'abc' is not a number"),
    (
      "1,x\n",
      "line 1, column 2: 'x' is not a number; if the line names the columns, read it with header: .present"
    ),
    ("1,2\n3,\n", "line 2, column 2: is empty; missing: [\"\"] reads it as NaN"),
    (",\n", "line 1, column 1: is empty; missing: [\"\"] reads it as NaN"),
    ("1\n\n2\n", "line 2, column 1: is empty; missing: [\"\"] reads it as NaN"),
    ("1;2\n3;4\n", "line 1, column 1: '1;2' is not a number" + semicolons),
    ("1,2\n1;3,4\n", "line 2, column 1: '1;3' is not a number" + semicolons),
    ("x;y\n1;2\n", "line 2, column 1: '1;2' is not a number" + semicolons),
    ("x;y\n1,5;2,5\n", "line 2, column 1: '1,5;2,5' is not a number" + semicolons),
    ("1,5;2,5\n", "line 1, column 2: '5;2' is not a number" + semicolons),
    ("x;y z\n1;2\n", "line 2 has 1 column, line 1 has 2" + semicolons),
    (
      "1,\"2;3\"\n",
      "line 1, column 2: '2;3' is not a number; if the line names the columns, read it with header: .present"
    ),
    ("1,2\n3,1e39\n", "line 2, column 2: '1e39' is beyond the range of 32-bit floating point"),
    // What looks like a number of another kind is neither one nor a name.
    (
      "0x10,1\n",
      "line 1, column 1: '0x10' is not a number; if the line names the columns, read it with header: .present"
    ),
    (
      "0x10\n1\n",
      "line 1, column 1: '0x10' is not a number; if the line names the columns, read it with header: .present"
    ),
    ("1\n0x1p3\n", "line 2, column 1: '0x1p3' is not a number"),
    ("1\n1_000\n", "line 2, column 1: '1_000' is not a number"),
    ("1\n1e\n", "line 2, column 1: '1e' is not a number"),
    ("1\n.\n", "line 2, column 1: '.' is not a number"),
    ("1\n1.2.3\n", "line 2, column 1: '1.2.3' is not a number"),
    ("1\n--1\n", "line 2, column 1: '--1' is not a number"),
    ("1\ninfin\n", "line 2, column 1: 'infin' is not a number"),
    ("1\n+\n", "line 2, column 1: '+' is not a number"),
    ("1\n１\n", "line 2, column 1: '１' is not a number"),
    ("1,2\nnan,1\n", "line 2, column 1: 'nan' is not a number; missing: [\"nan\"] reads it as NaN"),
    (
      "nan(7),1\n1,2\n",
      "line 1, column 1: 'nan(7)' is not a number; if the line names the columns, read it with header: .present"
    ),
    ("NA\n1\n", "line 1, column 1: 'NA' is not a number; missing: [\"NA\"] reads it as NaN"),
    // No row is lost as a comment.
    (
      "#N/A,1\n2,3\n",
      "line 1, column 1: '#N/A' is not a number; if the line is a comment, read it with comments: .everywhere"
    ),
    (
      "x\n#DIV/0!\n3\n",
      "line 2, column 1: '#DIV/0!' is not a number; if the line is a comment, read it with comments: .everywhere"
    ),
    (
      "1,2\n#N/A,3\n",
      "line 2, column 1: '#N/A' is not a number; missing: [\"#N/A\"] reads it as NaN (lines that begin with # are comments "
        + "before the first row only, or with comments: .everywhere)"
    ),
    (
      "1,2\n# late\n",
      "line 2 has 1 column, line 1 has 2 (lines that begin with # are comments before the first row only, or with "
        + "comments: .everywhere)"
    ),
    ("x,y,x\n1,2,3\n", "line 1: columns 1 and 3 have the same name 'x'"),
    // Quotation marks.
    ("x,\"y\n1,2\n3,4\n", "line 1, column 2: the quotation mark is never closed"),
    (
      "1,2\n\"3\"4,5\n",
      "line 2, column 1: a closing quotation mark is followed by something other than a separator"
    ),
    (
      "1 2\n\"3\"\"4\" \"5\"6\n",
      "line 2, column 2: a closing quotation mark is followed by something other than a separator"
    ),
    ("1,2\n3\",4\n", "line 2, column 1: a quotation mark within a field that does not begin with one"),
    ("\"a\r\nb\rc\",d\n1,x\n", "line 4, column 2: 'x' is not a number"),
    (
      "1,\"2\n\n\",3\n4,5,6",
      "line 1, column 2: '2\n\n' is not a number; if the line names the columns, read it with header: .present"
    ),
  ])
  func saysWhatIsWrong(_ text: String, _ reason: String) throws {
    try withFile(Array(text.utf8), "a.csv") { path in
      #expect(complaint(about: path) { _ = try CSVTable(contentsOf: path) } == reason)
    }
  }

  @Test func takesVeryLongFieldsAndLines() throws {
    let digits = String(repeating: "3", count: 1_000_000)
    #expect(try read("0.\(digits),1").scalars == [1 / 3, 1])
    #expect(try read("\"\(digits)\",x\n1,2", header: .present).columnNames?.first?.count == 1_000_000)
    #expect(try read(String(repeating: "1,", count: 100_000) + "1").columnCount == 100_001)
    try withFile(Array("1\nx\(digits)".utf8), "a.csv") { path in
      #expect(
        complaint(about: path) { _ = try CSVTable(contentsOf: path) }
          == "line 2, column 1: 'x\(String(repeating: "3", count: 39))' is not a number")
    }
  }

  @Test(arguments: [[0xFF, 0xFE, 0x31, 0], [0x31, 0xC3], [0x31, 0, 0x0A]] as [[UInt8]])
  func refusesWhatIsNoText(_ bytes: [UInt8]) throws {
    try withFile(bytes, "a.csv") { path in
      #expect(complaint(about: path) { _ = try Tensor(contentsOf: path) } == "is not a text in UTF-8")
    }
  }

  @Test func noDamageTraps() throws {
    try expectNoTrap(whenDamaged: Array("# of\nx,y\n1,-2e3\r\n\"3\", nan\n".utf8), "a.csv") {
      _ = try Tensor(contentsOf: $0)
    }
  }
}
