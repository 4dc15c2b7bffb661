import Coix
import Foundation
import TestSupport
import Testing

@Suite struct NPYFileTests {
  /// Calls `body` with the path of a file of `rows` × 2 numbers: row i is [2 i, 2 i + 1].
  private func withRows(
    _ rows: Int, _ scalars: ([Int]) -> NPYArray.Scalars = { .float32($0.map(Float.init)) },
    _ body: (_ path: String) throws -> Void
  ) throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.npy"
      try NPYArray(shape: [rows, 2], scalars: scalars(Array(0..<2 * rows))).write(to: path)
      try body(path)
    }
  }

  /// The numbers of rows in a file as above.
  private func numbers(_ rows: some Sequence<Int>) -> [Float] {
    rows.flatMap { [Float(2 * $0), Float(2 * $0 + 1)] }
  }

  @Test func readsRangesOfRows() throws {
    try withRows(100) { path in
      let file = try NPYFile(path)
      #expect(file.path == path)
      #expect(file.shape == [100, 2])
      #expect(file.rowCount == 100)
      for range in [0..<100, 0..<1, 99..<100, 17..<40, 0..<0, 100..<100] {
        let rows = try file.rows(range)
        #expect(rows.shape == [range.count, 2])
        #expect(rows.scalars == numbers(range))
      }
    }
  }

  /// Close together and far apart, in any order, also several times.
  @Test(arguments: [1, 3, 200, 5_000]) func readsRowsByNumber(_ step: Int) throws {
    let count = 200_000
    var random = SplitMix(seed: UInt64(step))
    try withRows(count) { path in
      let file = try NPYFile(path)
      var rows = Array(stride(from: step / 2, to: count, by: step).shuffled(using: &random).prefix(1_000))
      rows += rows.prefix(10)
      let read = try file.rows(at: rows)
      #expect(read.shape == [rows.count, 2])
      #expect(read.scalars == numbers(rows))
      #expect(try file.rows(at: rows.map { Int32($0) }).scalars == read.scalars)
      #expect(try file.rows(at: [Int]()).shape == [0, 2])
    }
  }

  @Test func readsAllTypesAsNPYArrayDoes() throws {
    for array in try PythonFiles().arrays where !array.shape.isEmpty && array.shape.count <= 8 {
      try withFile(Array(array.bytes), "a.npy") { path in
        guard !array.name.hasSuffix("in Fortran order") else {
          #expect(complaint(about: path) { _ = try NPYFile(path) }.hasPrefix("is in Fortran order"))
          return
        }
        let file = try NPYFile(path)
        let whole = try Tensor(contentsOf: path)
        let rows = try file.rows(0..<file.rowCount)
        #expect(rows.shape == whole.shape, "\(array.name)")
        #expect(rows.scalars.map(\.bitPattern) == whole.scalars.map(\.bitPattern), "\(array.name)")
        let last = Array((0..<file.rowCount).reversed())
        let gathered = try file.rows(at: last).scalars.map(\.bitPattern)
        #expect(gathered == whole.rows(at: last.map { Int32($0) }).scalars.map(\.bitPattern), "\(array.name)")
      }
    }
  }

  @Test func doublesBecomeTheNearestFloats() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.npy"
      try NPYArray(shape: [3], scalars: .float64([0.1, 1e300, -1e-300])).write(to: path)
      let file = try NPYFile(path)
      #expect(try file.rows(0..<3).scalars == [0.1, .infinity, -0.0])
      #expect(try file.rows(at: [1, 0]).scalars == [.infinity, 0.1])
    }
  }

  /// A file with holes, which takes no room.
  @Test func arraysLargerThanMemory() throws {
    let rows = Int(ProcessInfo.processInfo.physicalMemory) / 4
    let header = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (\(rows), 2), }")
    try withFile(header, "a.npy") { path in
      let handle = try #require(FileHandle(forUpdatingAtPath: path))
      try handle.truncate(atOffset: UInt64(header.count + 8 * rows))
      for row in [rows / 2, rows - 1] {
        try handle.seek(toOffset: UInt64(header.count + 8 * row))
        try handle.write(contentsOf: [Float(1.5), -2].withUnsafeBytes { Data($0) })
      }
      try handle.close()
      let file = try NPYFile(path)
      #expect(file.rowCount == rows)
      #expect(try file.rows(rows - 2..<rows).scalars == [0, 0, 1.5, -2])
      #expect(try file.rows(at: [rows - 1, 0, rows / 2]).scalars == [1.5, -2, 0, 0, 1.5, -2])
      let error = #expect(throws: CoixError.self) { try file.rows(0..<rows) }
      #expect(error?.description.hasSuffix("bytes, more than this machine can give") == true)
    }
  }

  @Test func rowsThatAreNotThereAreErrors() throws {
    try withRows(5) { path in
      let file = try NPYFile(path)
      func expect(_ what: String, _ body: () throws -> Tensor) {
        #expect(
          throws: CoixError.argument("\(path) has 5 rows, counted from 0; there is no \(what)"),
          performing: body)
      }
      expect("rows 4..<6") { try file.rows(4..<6) }
      expect("rows -1..<2") { try file.rows(-1..<2) }
      expect("row 5") { try file.rows(at: [0, 5, 1]) }
      expect("row -1") { try file.rows(at: [Int32(-1)]) }
      expect("row \(UInt64.max)") { try file.rows(at: [UInt64.max]) }
    }
  }

  @Test func rowsThatAreGoneAreErrors() throws {
    try withRows(10_000) { path in
      let file = try NPYFile(path)
      let handle = try #require(FileHandle(forUpdatingAtPath: path))
      try handle.truncate(atOffset: 128 + 8 * 5_000 + 4)
      try handle.close()
      let gone = "has become shorter since it was opened"
      #expect(try file.rows(4_000..<5_000).scalars == numbers(4_000..<5_000))
      #expect(complaint(about: path) { _ = try file.rows(4_000..<5_001) } == gone)
      #expect(complaint(about: path) { _ = try file.rows(at: [9_999, 3]) } == gone)
      #expect(complaint(about: path) { _ = try NPYFile(path) }.hasPrefix("truncated: the array of shape"))
    }
  }

  /// A file that gets longer and shorter all the time: rows are right, or an error.
  @Test func theFileMayChangeWhileItIsRead() throws {
    try withRows(1_000) { path in
      let file = try NPYFile(path)
      let whole = try Data(contentsOf: URL(filePath: path))
      let writer = Thread {
        guard let handle = FileHandle(forUpdatingAtPath: path) else { return }
        while !Thread.current.isCancelled {
          try? handle.truncate(atOffset: 200)
          try? handle.seek(toOffset: 0)
          try? handle.write(contentsOf: whole)
        }
      }
      writer.start()
      defer { writer.cancel() }
      for _ in 0..<2_000 {
        do {
          #expect(try file.rows(at: [999, 3]).shape == [2, 2])
        } catch CoixError.file(path, let reason) {
          #expect(reason == "has become shorter since it was opened")
        }
      }
    }
  }

  /// The value keeps the file that it opened.
  @Test func aFileThatTakesTheNameMakesNoDifference() throws {
    try withRows(3) { path in
      let file = try NPYFile(path)
      try Tensor([7]).write(npy: path)
      #expect(try file.rows(0..<3).scalars == numbers(0..<3))
    }
  }

  @Test func manyThreadsReadAtOnce() throws {
    try withRows(50_000) { path in
      let file = try NPYFile(path)
      let wrong = Mistakes()
      DispatchQueue.concurrentPerform(iterations: 16) { thread in
        var random = SplitMix(seed: UInt64(thread))
        for _ in 0..<50 {
          let rows = (0..<20).map { _ in Int.random(in: 0..<50_000, using: &random) }
          if (try? file.rows(at: rows).scalars) != numbers(rows) { wrong.add() }
        }
      }
      #expect(wrong.count == 0)
    }
  }

  @Test func refusesWhatHasNoRows() throws {
    func expect(_ reason: String, _ header: String, _ data: [UInt8] = []) throws {
      try withFile(npy(header, data), "a.npy") { path in
        #expect(complaint(about: path) { _ = try NPYFile(path) } == reason)
      }
    }
    try expect(
      "holds a single number, which has no rows", "{'descr': '<f4', 'fortran_order': False, 'shape': ()}",
      [0, 0, 0, 0])
    try expect(
      "is in Fortran order, whose rows are scattered; save numpy.ascontiguousarray(array) instead",
      "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1)}", [0, 0, 0, 0])
    try expect(
      "has rows of the shape [1, 1, 1, 1, 1, 1, 1, 1], which tensors cannot have",
      "{'descr': '|b1', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 1, 1)}", [0])
    try expect(
      "has rows of the shape [4611686018427387904], which tensors cannot have",
      "{'descr': '|b1', 'fortran_order': False, 'shape': (0, 4611686018427387904)}")
    try expect(
      "5 bytes follow after the array", "{'descr': '|b1', 'fortran_order': False, 'shape': (1,)}",
      [
        0, 0, 0, 0, 0, 0,
      ])
    try expect(
      "truncated: the array of shape [1152921504606846975] needs 9223372036854775800 bytes, 0 are left",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846975,)}")
    try expect(
      "the shape [1152921504606846976] has too many elements",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846976,)}")
  }

  @Test func rowsWithoutNumbers() throws {
    try withFile(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 0)}"), "a.npy")
    {
      path in
      let file = try NPYFile(path)
      #expect(file.rowCount == 1 << 62)
      #expect(try file.rows(5..<8).shape == [3, 0])
      #expect(try file.rows(at: [7, 1 << 61]).shape == [2, 0])
      #expect(
        throws: CoixError.argument(
          "a tensor cannot have the shape [4611686018427387904, 0]: at most 8 axes, 2^40 numbers")
      ) { try file.rows(0..<1 << 62) }
    }
  }

  @Test func longHeadersAreNotRead() throws {
    let start = [0x93] + Array("NUMPY".utf8) + [2, 0]
    for (length, reason) in [
      (1 << 16 + 1, "the header has 65537 bytes; that of an array of numbers has fewer"),
      (1 << 16, "truncated: the header needs 65536 bytes, 1 are left"),
      (0xFFFF_FFFF, "the header has 4294967295 bytes; that of an array of numbers has fewer"),
    ] {
      let bytes = start + (0..<4).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + [0x7B]
      try withFile(bytes, "a.npy") { path in
        #expect(complaint(about: path) { _ = try NPYFile(path) } == reason)
      }
    }
  }

  @Test func noDamageTraps() throws {
    let file = npy(
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1)}", [0, 0, 0, 0, 0, 0, 0x80, 0x3F])
    try expectNoTrap(whenDamaged: file, "a.npy") {
      let file = try NPYFile($0)
      _ = try file.rows(0..<min(file.rowCount, 3))
    }
  }
}

/// How often something went wrong, counted on many threads.
private final class Mistakes: @unchecked Sendable {
  private let lock = NSLock()
  private var total = 0
  var count: Int { lock.withLock { total } }
  func add() { lock.withLock { total += 1 } }
}
