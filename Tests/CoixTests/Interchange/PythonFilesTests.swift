import Coix
import Foundation
import Testing

/// Files that NumPy and Python's `csv` and `zipfile` wrote, and what they read of them.
@Suite struct PythonFilesTests {
  private let files: PythonFiles

  init() throws { files = try PythonFiles() }

  /// Calls `body` with the path of a file for each of these.
  private func withFiles(
    _ files: [PythonFiles.File], _ name: String, _ body: (PythonFiles.File, String) throws -> Void
  )
    throws
  {
    #expect(!files.isEmpty)
    for file in files { try withFile(Array(file.bytes), name) { try body(file, $0) } }
  }

  @Test func readsArraysOfAllTypes() throws {
    for array in files.arrays {
      let read = try withFile(Array(array.bytes), "a.npy") { try NPYArray(contentsOf: $0) }
      #expect(read.shape == array.shape, "\(array.name)")
      let (type, numbers) = read.scalars.described
      #expect(type == array.type, "\(array.name)")
      #expect(numbers == array.numbers, "\(array.name)")
    }
  }

  @Test func refusesArraysOfOtherTypes() throws {
    let reasons = [
      "complex": "complex numbers (<c8) are not supported; save their real and imaginary parts",
      "objects": "Python objects (|O) are not supported; save arrays of numbers",
      "text": "text (<U2) is not supported; save numbers",
      "byte strings": "text (|S2) is not supported; save numbers",
      "dates": "dates and times (<M8[D]) are not supported; save numbers",
      "durations": "dates and times (<m8[s]) are not supported; save numbers",
      "records": "arrays of records are not supported; save each field as an array",
      "raw bytes":
        "the element type '|V4' is not supported; b1, i1, i2, i4, i8, u1, u2, u4, u8, f2, f4, f8 are",
      "long double":
        "the element type '<f16' is not supported; b1, i1, i2, i4, i8, u1, u2, u4, u8, f2, f4, f8 are",
    ]
    try withFiles(files.refusedArrays, "a.npy") { file, path in
      #expect(
        complaint(about: path) { _ = try NPYArray(contentsOf: path) } == reasons[file.name], "\(file.name)")
    }
  }

  @Test func readsArchives() throws {
    let one = try NPYArray(shape: [2], scalars: .float32([1.5, 2]))
    let two = try NPYArray(shape: [2, 1], scalars: .int64([7, 8]))
    try withFiles(files.archives, "a.npz") { file, path in
      let arrays = try NPZArchive(contentsOf: path).arrays
      #expect(arrays == ["one": one, "two": two], "\(file.name)")
    }
  }

  @Test func refusesArchives() throws {
    let reasons = [
      "bzip2":
        "the entry one.npy is compressed by the method 12 (bzip2); only stored and deflated entries can be read",
      "LZMA":
        "the entry one.npy is compressed by the method 14 (LZMA); only stored and deflated entries can be read",
      "encrypted": "the entry one.npy is encrypted",
      "twice": "the array one is there twice",
      "overlap": "the archive's entries overlap",
      "bomb": "the entry one.npy says that its 76 deflated bytes hold 1073741824, which is impossible",
      "more than said": "the entry one.npy: holds more than the 500000 bytes that the archive says",
      "less than said": "the entry one.npy: holds 1000000 bytes, not the 1000001 that the archive says",
      "wrong checksum": "the entry one.npy is damaged: wrong checksum",
      "cut stream": "the entry one.npy: its deflated bytes end too early",
      "longer stream": "the entry one.npy: 3 bytes follow after its deflated bytes",
      "damaged stream": "the entry one.npy: its deflated bytes are damaged",
      "other local name": "the entry one.npy has another name where its bytes are",
      "two sizes": "the entry one.npy has two different sizes",
      "not an array": "the entry one.npy: is not a npy file: it does not begin with \\x93NUMPY",
      "NUL in a name": "an entry's name is not UTF-8, or has a NUL character",
      "fewer than said": "the archive's directory has 2 entries instead of 3",
      "several parts": "archives of several parts are not supported",
    ]
    try withFiles(files.refusedArchives, "a.npz") { file, path in
      #expect(
        complaint(about: path) { _ = try NPZArchive(contentsOf: path) } == reasons[file.name], "\(file.name)")
    }
  }

  @Test func readsQuotedNamesAsPythonDoes() throws {
    for names in files.names {
      let table = try withFile(Array(names.text.utf8), "a.csv") {
        try CSVTable(contentsOf: $0, header: .present)
      }
      #expect(table.columnNames == names.names)
      #expect(table.scalars == Array(repeating: 1, count: names.names.count))
    }
  }

  @Test func readsTheNearestNumber() throws {
    for number in files.numbers {
      try withFile(Array(number.text.utf8), "a.csv") { path in
        guard let bits = number.bits else {
          #expect(
            complaint(about: path) { _ = try CSVTable(contentsOf: path) }
              == "line 1, column 1: '\(number.text.prefix(40))' is beyond the range of 32-bit floating point")
          return
        }
        let scalars = try CSVTable(contentsOf: path).scalars
        #expect(scalars.map(\.bitPattern) == [bits], "\(number.text)")
      }
    }
  }
}

extension NPYArray.Scalars {
  /// The type, and the numbers: floating point as bits, truth as 0 and 1.
  var described: (type: String, numbers: [String]) {
    switch self {
    case .float32(let scalars): ("float32", scalars.map { "\($0.bitPattern)" })
    case .float64(let scalars): ("float64", scalars.map { "\($0.bitPattern)" })
    case .int32(let scalars): ("int32", scalars.map { "\($0)" })
    case .int64(let scalars): ("int64", scalars.map { "\($0)" })
    case .uint64(let scalars): ("uint64", scalars.map { "\($0)" })
    case .bool(let scalars): ("bool", scalars.map { $0 ? "1" : "0" })
    }
  }
}
