import Foundation
import TestSupport
import Testing

@testable import Coix

/// Archives with numbers of 64 bits; `PythonPackagesTests` let Python read such ones.
@Suite struct ZipArchiveTests {
  private static var entries: [(name: String, contents: () throws -> [UInt8])] {
    [("a", { Array(repeating: 1, count: 200) }), ("größe", { [] }), ("c", { [1, 2, 3] })]
  }

  /// With any limit, from which on numbers are written in 64 bits, the same is read.
  @Test(arguments: [0, 1, 3, 150, 200, 201, 233, 300, Int(UInt32.max)])
  func numbersOf64Bits(_ limit: Int) throws {
    let archive = try ZipArchive(ZipArchive.encode(Self.entries, limit: limit))
    #expect(archive.entries.map(\.name) == Self.entries.map(\.name))
    for (entry, own) in zip(archive.entries, Self.entries) {
      #expect(try Array(archive.contents(of: entry)) == own.contents())
    }
  }

  /// More entries than 16 bits can count.
  @Test func aHundredThousandEntries() throws {
    let count = 100_000
    let bytes = try ZipArchive.encode((0..<count).map { index in ("\(index)", { [UInt8(index % 256)] }) })
    let archive = try ZipArchive(bytes)
    #expect(archive.entries.count == count)
    #expect(archive.entries.last?.name == "99999")
    let last = try #require(archive.entries.last)
    #expect(try Array(archive.contents(of: last)) == [UInt8((count - 1) % 256)])
  }

  /// How many bytes holes have, and the checksums of so many zeros, which are Python's. More than 4 GiB need 16 GiB of memory,
  /// and take long in a debug build; the checks of a change run all tests in release, too.
  static let holes: [(Int, UInt32)] = {
    let holes: [(Int, UInt32)] = [(1 << 20, 0xA738_EA1C), (1 << 32 + 1_000, 0x3FBC_67BA)]
    let hasMemory = ProcessInfo.processInfo.physicalMemory > 16 << 30
    return isDebugBuild || !hasMemory ? [holes[0]] : holes
  }()

  /// A file with a hole, which is an entry, and an array behind it. All numbers of the archive have 64 bits.
  @Test(arguments: holes)
  func archivesWithHoles(_ holeSize: Int, _ checksum: UInt32) throws {
    let array = try NPYArray(shape: [2], scalars: .float32([1.5, -2]))
    let contents = try array.encoded()
    try withFile([], "a.npz") { path in
      let file = try #require(FileHandle(forUpdatingAtPath: path))
      var directory: [UInt8] = []
      /// An entry's header, where the file is now; the entry's bytes follow.
      func begin(_ name: String, size: Int, checksum: UInt32) throws {
        let offset = try file.offset()
        var common: [UInt8] = []
        for number: UInt16 in [45, 0, 0, 0, 33] { common.append(littleEndian: number) }
        for number: UInt32 in [checksum, .max, .max] { common.append(littleEndian: number) }
        common.append(littleEndian: UInt16(name.utf8.count))
        func extra(_ numbers: [Int]) -> [UInt8] {
          var field: [UInt8] = []
          for number in [1, 8 * numbers.count] { field.append(littleEndian: UInt16(number)) }
          for number in numbers { field.append(littleEndian: UInt64(number)) }
          return field
        }
        let (local, central) = (extra([size, size]), extra([size, size, Int(offset)]))
        var header = Array("PK\u{3}\u{4}".utf8) + common
        header.append(littleEndian: UInt16(local.count))
        try file.write(contentsOf: header + Array(name.utf8) + local)
        directory += Array("PK\u{1}\u{2}".utf8) + [45, 0] + common
        directory.append(littleEndian: UInt16(central.count))
        directory += [UInt8](repeating: 0, count: 10)
        directory.append(littleEndian: UInt32.max)
        directory += Array(name.utf8) + central
      }
      try begin("hole", size: holeSize, checksum: checksum)
      try file.truncate(atOffset: try file.offset() + UInt64(holeSize))
      try begin("a.npy", size: contents.count, checksum: Zlib.crc32(contents[...]))
      try file.write(contentsOf: contents)
      let start = Int(try file.offset())
      let end = start + directory.count
      for number: UInt32 in [0x0606_4B50, 44, 0] { directory.append(littleEndian: number) }
      for number: UInt16 in [45, 45] { directory.append(littleEndian: number) }
      for number in [0, 2, 2, end - start, start] { directory.append(littleEndian: UInt64(number)) }
      for number in [0x0706_4B50, 0] { directory.append(littleEndian: UInt32(number)) }
      directory.append(littleEndian: UInt64(end))
      for number: UInt32 in [1, 0x0605_4B50, 0, 0x0002_0002, .max, .max] {
        directory.append(littleEndian: number)
      }
      try file.write(contentsOf: directory + [0, 0])
      try file.close()
      #expect(try NPZArchive(contentsOf: path).arrays == ["a": array])
    }
  }

  /// What an entry says of itself is possible, and more than there is memory for.
  @Test func aBombThatMemoryCannotHold() throws {
    let size = 2 * Int(ProcessInfo.processInfo.physicalMemory)
    let stored = [UInt8](repeating: 0, count: size / Zlib.greatestRatio + 1)
    var bytes = try ZipArchive.encode([("a.npy", { stored })], limit: 0)
    // Deflated, of another size, here and in the directory.
    let name = Array("a.npy".utf8)
    for position in [0, bytes.count - 22 - 20 - 56 - (46 + name.count + 28)] {
      let isLocal = position == 0
      let method = position + (isLocal ? 8 : 10)
      bytes[method] = 8
      let field = position + (isLocal ? 30 : 46) + name.count + 4
      for offset in 0..<8 { bytes[field + offset] = UInt8(truncatingIfNeeded: size >> (8 * offset)) }
    }
    try withFile(bytes, "a.npz") { path in
      #expect(
        complaint(about: path) { _ = try NPZArchive(contentsOf: path) }
          == "the archive's entries would need \(size) bytes of memory, which cannot be had")
    }
  }

  /// Names are never paths here, but they are somewhere else.
  @Test(arguments: ["../../escaped", "/tmp/escaped", "a/../b", "a\\..\\b", "..", "a/.."])
  func namesThatLeadOutOfTheFolder(_ name: String) throws {
    let array = try NPYArray(Tensor([1]))
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.npz"
      // A name of the same length, which is replaced where the entry is and in the directory.
      let harmless = String(repeating: "x", count: name.utf8.count)
      let bytes = try ZipArchive.encode([(harmless, array.encoded)])
      let hostile = bytes.replacing(Array(harmless.utf8), with: Array(name.utf8))
      try Data(hostile).write(to: URL(fileURLWithPath: path))
      #expect(
        complaint(about: path) { _ = try NPZArchive(contentsOf: path) }
          == "the name \(name) of an entry leads out of the archive")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a.npz"])
    }
  }

  @Test func namesOfFoldersAreNames() throws {
    let array = try NPYArray(Tensor([1]))
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.npz"
      // With ".npy" behind it, two dots are a name like any other.
      let archive = NPZArchive(["a/b": array, "..": array, "a..b": array])
      try archive.write(to: path)
      #expect(try NPZArchive(contentsOf: path) == archive)
      for name in ["../escaped", "/escaped"] {
        #expect(
          complaint(about: path) { try NPZArchive([name: array]).write(to: path) }
            == "the name \(name).npy of an entry leads out of the archive")
      }
      #expect(try NPZArchive(contentsOf: path) == archive)
    }
  }
}
