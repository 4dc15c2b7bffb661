import Coix
import Foundation
import TestSupport
import Testing

/// Each reader on damaged, mutated and random files. `COIX_FUZZ_RUNS` sets the number of files.
@Suite struct FileFuzzTests {
  private static let headerTokens = [
    "{", "}", "(", ")", "[", ",", ":", "'", "\"", "'descr'", "'fortran_order'", "'shape'", "True", "False",
    "None", "<f4",
    ">f8", "|b1", "=i2", "<u8", "<c8", "|O", "0", "1", "-1", "64", "4611686018427387904",
    "99999999999999999999", "1, 1, 1, ",
    "L", " ", "\n", "\u{93}NUMPY",
  ]

  @Test func npy() throws {
    let files = try PythonFiles()
    let samples = files.arrays.map(\.bytes) + files.refusedArrays.map(\.bytes)
    let mutator = FileMutator(samples: samples, tokens: Self.headerTokens, seed: 1)
    try fuzz(
      mutator, "a.npy", runs: fuzzRuns(3_000), read: { try NPYArray(contentsOf: $0).bits },
      roundTrip: { try NPYArray(contentsOf: $0).write(to: $1) })
  }

  /// What single rows are read of can be read whole, and has the same numbers.
  @Test func npyRows() throws {
    let files = try PythonFiles()
    let mutator = FileMutator(
      samples: files.arrays.map(\.bytes), tokens: Self.headerTokens + ["False", "False, 'shape'"], seed: 7)
    try fuzz(mutator, "a.npy", runs: fuzzRuns(3_000)) { path in
      let file = try NPYFile(path)
      let whole = try #require(try? NPYArray(contentsOf: path))
      #expect(whole.shape == file.shape)
      let rows = Array(0..<min(file.rowCount, 100))
      let inOrder = try file.rows(0..<rows.count)
      let reversed = try file.rows(at: rows.reversed())
      if let tensor = try? whole.tensor() {
        #expect(tensor.rows(at: rows.map { Int32($0) }).isIdentical(to: inOrder))
        #expect(tensor.rows(at: rows.reversed().map { Int32($0) }).isIdentical(to: reversed))
      }
      return try NPYArray(inOrder).bits
    }
  }

  @Test func npz() throws {
    let files = try PythonFiles()
    let mutator = FileMutator(
      samples: (files.archives + files.refusedArchives).map(\.bytes),
      tokens: Self.headerTokens + [
        "PK\u{1}\u{2}", "PK\u{3}\u{4}", "PK\u{5}\u{6}", "PK\u{6}\u{6}", "PK\u{6}\u{7}", ".npy",
      ],
      seed: 2)
    func read(_ path: String) throws -> String {
      try NPZArchive(contentsOf: path).arrays.sorted { $0.key < $1.key }
        .map { "\($0.key): \($0.value.bits)" }.joined(separator: "\n")
    }
    try fuzz(mutator, "a.npz", runs: fuzzRuns(3_000), read: read) {
      try NPZArchive(contentsOf: $0).write(to: $1)
    }
  }

  /// With and without a header's length that fits after mutations.
  @Test(arguments: [false, true]) func safetensors(repaired: Bool) throws {
    let files = try SafetensorsFiles()
    let mutator = FileMutator(
      samples: files.files.map(\.bytes) + files.refused.map(\.bytes) + files.flax.map(\.bytes),
      tokens: [
        "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "\\ud83d", "\"__metadata__\":",
        "\"__metadata__\":{},", "\"a\":", "{\"a\":",
        "\"dtype\":", "\"shape\":", "\"data_offsets\":", "\"F32\"", "\"BOOL\"", "\"U64\"", "\"F8_E5M2\"",
        "\"a\":\"b\",",
        "0", "1", "-1", "1.0", "1e9", "4611686018427387904", "99999999999999999999", "[]", "[0]", "[1,1]",
        "[0,4]", "null",
        " ", "\n", "../",
      ],
      seed: repaired ? 5 : 6, repair: { if repaired { Self.repairLength(&$0) } })
    func read(_ path: String) throws -> String {
      let file = try SafetensorsFile(contentsOf: path)
      return file.arrays.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value.bits)" }.joined(
        separator: "\n")
        + "\(file.metadata.sorted { $0.key < $1.key })"
    }
    try fuzz(mutator, "a.safetensors", runs: fuzzRuns(1_000), read: read) {
      try SafetensorsFile(contentsOf: $0).write(to: $1)
    }
  }

  /// Lets a safetensors file's header end after the last brace, and the blanks that follow it.
  private static func repairLength(_ bytes: inout [UInt8]) {
    guard let brace = bytes.lastIndex(of: UInt8(ascii: "}")), brace >= 8 else { return }
    let length = brace - 7 + bytes[(brace + 1)...].prefix { $0 == UInt8(ascii: " ") }.count
    for offset in 0..<8 { bytes[offset] = UInt8(truncatingIfNeeded: length >> (8 * offset)) }
  }

  private static let csvSamples = [
    "x,y\n1,2\n3,4.5\n", "# a comment\r\n\"x\",\"y, \"\"z\"\"\"\r\n 1 , 2e3\r\n\"3\",-.5\r\n",
    "1 2  3\n 4\t5 6 \n",
    "a\tb\n1\t2\n\n3\t4", "\u{FEFF}größe\n1\n2\n", "NA,1\nnan,2\n,3\n", "\"line\nbreak\",b\rinf,-Infinity\r",
  ]
  private static let csvTokens = [
    ",", "\t", " ", "\"", "\"\"", "\n", "\r", "\r\n", "#", "# ", "#N/A", "NA", "nan", "inf", "0x10", "1e39",
    "1e-50", "-", "+",
    ".", "e", "12345678901234567890", "\u{FEFF}", "é", "\u{0}", "x",
  ]

  @Test(
    arguments: [CSVTable.Header.detected, .present, .absent],
    [CSVTable.Comments.beforeRows, .everywhere, .none])
  func csv(_ header: CSVTable.Header, _ comments: CSVTable.Comments) throws {
    let mutator = FileMutator(
      samples: Self.csvSamples.map { Data($0.utf8) }, tokens: Self.csvTokens, seed: 3)
    for missing in [[], ["NA", "nan", "", "#N/A"]] as [Set<String>] {
      try fuzz(mutator, "a.csv", runs: fuzzRuns(3_000) / 18) { path in
        let table = try CSVTable(contentsOf: path, header: header, comments: comments, missing: missing)
        #expect(table.scalars.count == table.rowCount * table.columnCount && table.rowCount > 0)
        #expect(table.columnNames.map { Set($0).count == table.columnCount } ?? true)
        return "\(table.columnNames ?? []) \(table.columnCount) \(table.scalars.map(\.bitPattern))"
      }
    }
  }

  /// Tables whose numbers are known, written in all ways that there are.
  @Test func csvReadsWhatWasWritten() throws {
    var random = SplitMix(seed: 4)
    for _ in 0..<fuzzRuns(1_000) {
      let text = RandomTable(using: &random)
      let table: CSVTable
      do {
        table = try withFile(Array(text.text.utf8), "a.csv") {
          try CSVTable(contentsOf: $0, missing: ["NA", "-"])
        }
      } catch {
        Issue.record("\(error): \(String(reflecting: text.text))")
        continue
      }
      #expect(table.columnNames == text.columnNames, "\(text.text)")
      #expect(table.columnCount == text.columnCount, "\(text.text)")
      #expect(table.scalars.map(\.bitPattern) == text.scalars.map(\.bitPattern), "\(text.text)")
    }
  }
}

extension NPYArray {
  /// Shape, type and bits.
  fileprivate var bits: String {
    let numbers =
      switch scalars {
      case .float32(let scalars): "f4 \(scalars.map(\.bitPattern))"
      case .float64(let scalars): "f8 \(scalars.map(\.bitPattern))"
      case .int32(let scalars): "i4 \(scalars)"
      case .int64(let scalars): "i8 \(scalars)"
      case .uint64(let scalars): "u8 \(scalars)"
      case .bool(let scalars): "b1 \(scalars)"
      }
    return "\(shape) \(numbers)"
  }
}

extension Tensor {
  fileprivate func isIdentical(to other: Tensor) -> Bool {
    shape == other.shape && scalars.map(\.bitPattern) == other.scalars.map(\.bitPattern)
  }
}

/// The text of a random table of numbers.
private struct RandomTable {
  let columnNames: [String]?
  let columnCount: Int
  private(set) var scalars: [Float] = []
  private(set) var text = ""

  init(using random: inout SplitMix) {
    func chance(_ one: Int) -> Bool { Int.random(in: 0..<one, using: &random) == 0 }
    func pick(_ choices: [String]) -> String { choices.randomElement(using: &random) ?? "" }
    let count = Int.random(in: 1...5, using: &random)
    columnCount = count
    let separator = count == 1 ? " " : pick([",", ",", "\t", " "])
    let lineBreak = pick(["\n", "\r\n", "\r"])
    // Tabs around fields are blanks where there are commas only.
    func blanks() -> String { pick(["", "", " ", separator == "," ? "\t " : "  "]) }
    func line(_ fields: [String]) -> String {
      var line = blanks()
      for (index, field) in fields.enumerated() {
        if index > 0 { line += blanks() + separator + blanks() }
        line += field
      }
      return line + blanks() + lineBreak
    }
    if chance(3) { text += "\u{FEFF}" }
    while chance(3) { text += pick(["# comment \"x, 1", "#", "# 1,2", ""]) + lineBreak }
    if chance(2) {
      let names = (0..<count).map {
        "\(pick(["x", "größe", "a,b", "two\(lineBreak)lines", "say \"\"so\"\"", " y "])) \($0)"
      }
      text += line(names.map { "\"\($0)\"" })
      columnNames = names.map { $0.replacingOccurrences(of: "\"\"", with: "\"") }
    } else {
      columnNames = nil
    }
    while chance(3) { text += pick(["# more", blanks()]) + lineBreak }
    let rowCount = Int.random(in: 1...6, using: &random)
    for row in 0..<rowCount {
      let fields = (0..<count).map { _ -> String in
        // The first row tells whether there are names: it has no missing numbers.
        if row > 0, chance(8) {
          scalars.append(.nan)
          return pick(["NA", "-", "\"NA\""])
        }
        let number =
          chance(3)
          ? Float(Int.random(in: -1000...1000, using: &random))
          : Float(bitPattern: UInt32.random(in: 0..<0x7F80_0000, using: &random))
        scalars.append(number)
        let digits = chance(4) && number < 1e9 ? "\(Double(number))" : "\(number)"
        return chance(4) ? "\"\(blanks())\(digits)\(blanks())\"" : digits
      }
      text += line(fields)
      if count > 1 { while chance(5) { text += blanks() + lineBreak } }
    }
    if chance(3) { text.removeLast() }
  }
}
