import Coix
import Foundation
import Testing

/// A folder of its own for a test's files, gone when `body` returns.
func withTemporaryFolder<Result>(_ body: (_ path: String) throws -> Result) throws -> Result {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("coix-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  return try body(folder.path)
}

/// The names of what is in a folder.
func names(in folder: String) throws -> [String] {
  try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
}

/// Calls `body` with the path of a file that has these bytes.
func withFile<Result>(_ bytes: [UInt8], _ name: String, _ body: (_ path: String) throws -> Result) throws
  -> Result
{
  try withTemporaryFolder { folder in
    let path = "\(folder)/\(name)"
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    return try body(path)
  }
}

/// What `body` throws for a file, without the file's path.
func complaint(about path: String, _ body: () throws -> Void) -> String {
  do { try body() } catch CoixError.file(path, let reason) { return reason } catch {
    return "another error: \(error)"
  }
  return "nothing was thrown"
}

/// Reads files that were damaged in every place, and expects that all that ever happens is an error about the
/// file.
func expectNoTrap(whenDamaged bytes: [UInt8], _ name: String, _ read: (_ path: String) throws -> Void) throws
{
  let prefixes = bytes.indices.map { Array(bytes[..<$0]) }
  let changes = bytes.indices.flatMap { index in
    [0, 0xFF, bytes[index] ^ 1].map { byte in
      var copy = bytes
      copy[index] = byte
      return copy
    }
  }
  try withTemporaryFolder { folder in
    let path = "\(folder)/\(name)"
    for damaged in prefixes + changes {
      try Data(damaged).write(to: URL(fileURLWithPath: path))
      do { try read(path) } catch CoixError.file(path, _) {} catch {
        Issue.record("\(error) for \(damaged)")
      }
    }
  }
}

/// Bytes as `base64` prints them.
func bytes(base64 text: String) throws -> [UInt8] {
  Array(try #require(Data(base64Encoded: text, options: .ignoreUnknownCharacters)))
}

/// A `.npy` file of version 1 with a given header.
func npy(_ header: String, _ data: [UInt8] = []) -> [UInt8] {
  [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(header.utf8.count), 0] + Array(header.utf8) + data
}

/// A safetensors file with a given header.
func safetensors(_ header: some Collection<UInt8>, _ data: [UInt8] = []) -> [UInt8] {
  withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) } + header + data
}
