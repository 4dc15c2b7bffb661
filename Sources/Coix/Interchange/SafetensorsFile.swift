import CoixParallel

/// Arrays by name, as a safetensors file holds them, and texts by name.
///
/// ```swift
/// let file = try SafetensorsFile(contentsOf: "model.safetensors")
/// let kernel = try file.arrays["params/Dense_0/kernel"]?.tensor()
/// ```
///
/// Truth values, whole numbers of 8 to 64 bits and the floating-point types F16, BF16, F32 and F64 can be read;
/// arrays of other types are errors. Each becomes an ``NPYArray`` whose type holds all of the file's numbers,
/// F16 and BF16 `float32`. A name is just a name, whatever characters it has.
///
/// Everything that a header says is checked against the file before it is used: arrays have to fill the file one
/// after the other, without holes or overlaps, each with as many bytes as its type and shape need, and no name
/// may occur twice. Reference: the description of the format in `README.md` of
/// <https://github.com/huggingface/safetensors>.
public struct SafetensorsFile: Equatable, Sendable {
  /// The arrays, by name.
  public var arrays: [String: NPYArray]
  /// The texts, by name: what the format calls `__metadata__`.
  public var metadata: [String: String]

  /// A file of given arrays and texts.
  public init(_ arrays: [String: NPYArray] = [:], metadata: [String: String] = [:]) {
    self.arrays = arrays
    self.metadata = metadata
  }

  /// Reads a safetensors file.
  ///
  /// - Throws: `CoixError.file(path:reason:)`.
  public init(contentsOf path: String) throws {
    self = try WholeFile.read(path) { try SafetensorsFile(decoding: $0) }
  }

  /// Writes a safetensors file, and replaces an existing one. The same arrays and texts give the same bytes:
  /// those of the reference implementation, which leaves the order of texts to chance.
  ///
  /// - Throws: `CoixError.file(path:reason:)`, also for an array with the name `__metadata__`.
  public func write(to path: String) throws {
    try WholeFile.write(path, encoded)
  }

  private init(decoding bytes: [UInt8]) throws {
    guard !bytes.isEmpty else { throw MalformedFile("is empty") }
    var reader = ByteReader(bytes[...])
    let length = try reader.integer(UInt64.self, of: "the header's length")
    guard length <= SafetensorsHeader.maximumLength else {
      if NPYHeader.isNPY(bytes[...]) { throw MalformedFile("is a .npy file, not a safetensors file") }
      if bytes.starts(with: "PK".utf8) {
        throw MalformedFile("is a zip archive, as .npz files are, not a safetensors file")
      }
      throw MalformedFile(
        "is not a safetensors file: it does not begin with the length of a header"
      )
    }
    let text = try reader.bytes(length, of: "the header")
    let data = reader.rest
    let header = try SafetensorsHeader(parsing: text, byteCount: data.count)
    // The arrays fill the file, so that they take no more than a few times its size.
    try SystemMemory.require(
      header.entries.reduce(0) { $0 + $1.range.count / $1.type.size * $1.type.widenedSize },
      for: "the arrays")
    self.init(metadata: header.metadata)
    for entry in header.entries {
      let start = data.startIndex + entry.range.lowerBound
      arrays[entry.name] = NPYArray(
        checkedShape: entry.shape,
        scalars: try entry.type.scalars(of: data[start..<(start + entry.range.count)]))
    }
  }

  private func encoded() throws -> [UInt8] {
    let header = SafetensorsHeader(of: arrays, metadata: metadata)
    let text = try header.encoded()
    var bytes: [UInt8] = []
    bytes.append(littleEndian: UInt64(text.count))
    bytes += text
    for entry in header.entries {
      guard let scalars = arrays[entry.name]?.scalars else { continue }
      // The array takes its memory twice, as bits and as bytes, before it is appended.
      try SystemMemory.require(2 * entry.range.count, for: "the array \(entry.name.prefix(40))")
      try bytes.requireMemory(forMore: entry.range.count)
      bytes += scalars.bytes
    }
    return bytes
  }
}
