import Coix
import Foundation
import Testing

@Suite struct CSVTests {
  private func read(_ text: String) throws -> CSVTable {
    try withFile(Array(text.utf8), "a.csv") { try CSVTable(contentsOf: $0) }
  }

  @Test(arguments: [
    "1,2\n3,4.5\n", "1,2\r\n3,4.5\r\n", "1,2\r3,4.5", "1 2\n3\t4.5\n", "  1   2  \n\n\n 3 4.5",
    "\u{FEFF}1,2\n3,4.5\n",
    "# x, y\n1, 2\n# between\n3 , 4.5\n", "\"1\",\"2\"\n\"3\",\"4.5\"\n", "1e0,+2\n.3e1,45e-1",
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

  @Test func readsWhatIsNotFinite() throws {
    let scalars = try read("nan,inf\n-inf,Infinity\n").scalars
    #expect(scalars[0].isNaN)
    #expect(Array(scalars[1...]) == [.infinity, -.infinity, .infinity])
  }

  @Test(arguments: [
    ("", "is empty"), ("\n \n", "has no rows of numbers"), ("x,y\n", "has no rows of numbers"),
    ("1,2\n3\n", "line 2 has 1 column, line 1 has 2"),
    ("x,y\n1,2\n\n1,2,3\n", "line 4 has 3 columns, line 1 has 2"),
    ("1,2\n3,abc\n", "line 2, column 2: 'abc' is not a number"),
    ("1,x\n", "line 1, column 2: 'x' is not a number"),
    ("1,2\n3,\n", "line 2, column 2: is empty"), (",\n", "line 1, column 1: is empty"),
    ("1;2\n3;4\n", "line 2, column 1: '3;4' is not a number"),
    ("1,2\n1;3,4\n", "line 2, column 1: '1;3' is not a number"),
    ("1,2\n3,1e39\n", "line 2, column 2: 1e39 is beyond the range of 32-bit floating point"),
  ])
  func saysWhatIsWrong(_ text: String, _ reason: String) throws {
    try withFile(Array(text.utf8), "a.csv") { path in
      #expect(complaint(about: path) { _ = try CSVTable(contentsOf: path) } == reason)
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
