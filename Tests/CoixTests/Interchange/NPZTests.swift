import Coix
import Foundation
import Testing

@Suite struct NPZTests {
  // Written by NumPy 2.4.6.

  /// `savez(file, kernel=array([[1.5, 2]], 'f4'), count=int64(7))`
  private static let saved = """
    UEsDBC0AAAAAAAAAIQDdTB3l//////////8KABQAa2VybmVsLm5weQEAEACIAAAAAAAAAIgAAAAAAAAAk05VTVBZAQB2AHsnZGVz
    Y3InOiAnPGY0JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDEsIDIpLCB9ICAgICAgICAgICAgICAgICAgICAg
    ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAMA/AAAAQFBLAwQtAAAAAAAAACEAI7jwbP//////////CQAU
    AGNvdW50Lm5weQEAEACIAAAAAAAAAIgAAAAAAAAAk05VTVBZAQB2AHsnZGVzY3InOiAnPGk4JywgJ2ZvcnRyYW5fb3JkZXInOiBG
    YWxzZSwgJ3NoYXBlJzogKCksIH0gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg
    ICAgICAgIAoHAAAAAAAAAFBLAQItAy0AAAAAAAAAIQDdTB3liAAAAIgAAAAKAAAAAAAAAAAAAACAAQAAAABrZXJuZWwubnB5UEsB
    Ai0DLQAAAAAAAAAhACO48GyIAAAAiAAAAAkAAAAAAAAAAAAAAIABxAAAAGNvdW50Lm5weVBLBQYAAAAAAgACAG8AAACHAQAAAAA=
    """
  /// `savez_compressed(file, k=zeros(3, 'f4'))`
  private static let compressed = """
    UEsDBC0AAAAIAAAAIQCp9psY//////////8FABQAay5ucHkBABAAjAAAAAAAAABHAAAAAAAAAJvsF+obEMnIUMZQrZ6SWpxcpG6l
    oG6TZqKuo6Cell9UUpSYF59flJIKEndLzClOBYoXZyQWpAL5GsY6mjoKtQoUAC4GJAAAUEsBAi0DLQAAAAgAAAAhAKn2mxhHAAAA
    jAAAAAUAAAAAAAAAAAAAAIABAAAAAGsubnB5UEsFBgAAAAABAAEAMwAAAH4AAAAAAA==
    """

  private struct Pair: TensorTree {
    var kernel: Tensor
    var layers: [Tensor]
    mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
      try visitor.visit("kernel", &kernel)
      try visitor.visit("layers", &layers)
    }
  }

  @Test func readsWhatNumPyWrote() throws {
    try withFile(bytes(base64: Self.saved), "a.npz") { path in
      let arrays = try NPZArchive(contentsOf: path).arrays
      #expect(arrays.keys.sorted() == ["count", "kernel"])
      #expect(arrays["kernel"]?.shape == [1, 2])
      #expect(arrays["kernel"]?.scalars == .float32([1.5, 2]))
      #expect(arrays["count"]?.shape == [])
      #expect(arrays["count"]?.scalars == .int64([7]))
    }
  }

  @Test func readsWhatItWroteAndWritesTheSameBytes() throws {
    let arrays = [
      "a": try NPYArray(Tensor([1, 2])), "β": try NPYArray(shape: [0], scalars: .bool([])),
      "c/d": try NPYArray(shape: [], scalars: .int64([-1])),
    ]
    try withTemporaryFolder { folder in
      try NPZArchive(arrays).write(to: "\(folder)/a.npz")
      let again = try NPZArchive(contentsOf: "\(folder)/a.npz")
      #expect(again.arrays == arrays)
      try again.write(to: "\(folder)/b.npz")
      #expect(FileManager.default.contentsEqual(atPath: "\(folder)/a.npz", andPath: "\(folder)/b.npz"))
      try NPZArchive().write(to: "\(folder)/none.npz")
      #expect(try NPZArchive(contentsOf: "\(folder)/none.npz") == NPZArchive())
    }
  }

  @Test func treesComeBack() throws {
    let pair = Pair(kernel: Tensor([1, 2, 3, 4], shape: [2, 2]), layers: [5, [6, 7]])
    let zeros = Pair(kernel: .zeros([2, 2]), layers: [0, [0, 0]])
    try withTemporaryFolder { folder in
      let path = "\(folder)/pair.npz"
      try pair.write(npz: path)
      #expect(try NPZArchive(contentsOf: path).arrays.keys.sorted() == ["kernel", "layers.0", "layers.1"])
      let again = try zeros.reading(npz: path)
      #expect(again.namedTensors.map(\.tensor.scalars) == [[1, 2, 3, 4], [5], [6, 7]])
      try Tensor([8, 9]).write(npz: path)
      #expect(try Tensor.zeros([2]).reading(npz: path).scalars == [8, 9])
    }
  }

  @Test func saysWhatDoesNotFitTheTree() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.npz"
      try Pair(kernel: [1], layers: [2]).write(npz: path)
      func complaintFor(_ pair: Pair) -> String { complaint(about: path) { _ = try pair.reading(npz: path) } }
      #expect(complaintFor(Pair(kernel: [1], layers: [2, 3])) == "has no array layers.1")
      #expect(
        complaintFor(Pair(kernel: [1, 2], layers: [2]))
          == "the array kernel has the shape [1], [2] is expected")
      #expect(
        complaintFor(Pair(kernel: [1], layers: []))
          == "has an array layers.0 that nothing here has the name of")
    }
  }

  @Test func readsCompressedArrays() throws {
    try withFile(bytes(base64: Self.compressed), "a.npz") { path in
      let arrays = try NPZArchive(contentsOf: path).arrays
      #expect(arrays == ["k": try NPYArray(shape: [3], scalars: .float32([0, 0, 0]))])
    }
  }

  @Test func aSignatureInTheCommentIsNoEnd() throws {
    var commented = try bytes(base64: Self.saved)
    commented[commented.count - 2] = 30
    commented += Array("PK\u{5}\u{6}".utf8) + Array(repeating: 0, count: 26)
    try withFile(commented, "a.npz") { path in
      let names = try NPZArchive(contentsOf: path).arrays.keys.sorted()
      #expect(names == ["count", "kernel"])
    }
  }

  @Test func anArrayOfAnotherNameIsOne() throws {
    var renamed = try bytes(base64: Self.saved)
    // In the directory, and where the entry is.
    for offset in [renamed.count - 23, 0xC4 + 30 + 8] { renamed[offset] = UInt8(ascii: "x") }
    try withFile(renamed, "a.npz") { path in
      let names = try NPZArchive(contentsOf: path).arrays.keys.sorted()
      #expect(names == ["count.npx", "kernel"])
    }
  }

  @Test func saysWhatIsWrong() throws {
    let saved = try bytes(base64: Self.saved)
    var wrongNumber = saved
    wrongNumber[176] ^= 1
    let end = saved.count - 22
    var farDirectory = saved
    farDirectory[end + 19] = 0x7F
    var earlyDirectory = saved
    earlyDirectory[end + 16] &-= 1
    var zip64 = saved
    for offset in 16..<20 { zip64[end + offset] = 0xFF }
    let cases: [([UInt8], String)] = [
      ([], "is empty"),
      (Array("1,2\n".utf8), "is not a npz file, or truncated: a zip archive's directory is missing"),
      (Array(saved.dropLast()), "is not a npz file, or truncated: a zip archive's directory is missing"),
      (wrongNumber, "the entry kernel.npy is damaged: wrong checksum"),
      (farDirectory, "truncated: the directory lies outside of the file"),
      (earlyDirectory, "the archive's directory does not end where its end is described"),
      (zip64, "truncated: the directory lies outside of the file"),
    ]
    for (bytes, reason) in cases {
      try withFile(bytes, "a.npz") { path in
        #expect(complaint(about: path) { _ = try NPZArchive(contentsOf: path) } == reason)
      }
    }
  }

  @Test func aTensorIsNotReadFromAnArchive() throws {
    try withFile(bytes(base64: Self.saved), "a.npz") { path in
      #expect(
        complaint(about: path) { _ = try Tensor(contentsOf: path) }
          == "holds arrays by name: read it by NPZArchive(contentsOf:)")
    }
  }

  @Test func noDamageTraps() throws {
    for fixture in [Self.saved, Self.compressed] {
      try expectNoTrap(whenDamaged: bytes(base64: fixture), "a.npz") { _ = try NPZArchive(contentsOf: $0) }
    }
  }
}
