import CoixParallel

/// Arrays by name, as a `.npz` file holds them: a zip archive of `.npy` files, without compression.
///
/// Written by `numpy.savez` and read by `numpy.load`, or the other way round.
public struct NPZArchive: Equatable, Sendable {
  /// The arrays, by name (without `.npy`).
  public var arrays: [String: NPYArray]

  /// An archive of given arrays.
  public init(_ arrays: [String: NPYArray] = [:]) { self.arrays = arrays }

  /// Reads a `.npz` file.
  ///
  /// - Throws: `CoixError.file(path:reason:)`.
  public init(contentsOf path: String) throws {
    arrays = try WholeFile.read(path) { bytes in
      var arrays: [String: NPYArray] = [:]
      for entry in try ZipArchive.decode(bytes) {
        guard entry.name.hasSuffix(".npy") else {
          throw MalformedFile("the entry \(entry.name) is not a npy file")
        }
        let array: NPYArray
        do { array = try NPYArray(decoding: entry.bytes) } catch let problem as MalformedFile {
          throw MalformedFile("the entry \(entry.name): \(problem.reason)")
        }
        guard arrays.updateValue(array, forKey: String(entry.name.dropLast(4))) == nil else {
          throw MalformedFile("the entry \(entry.name) is there twice")
        }
      }
      return arrays
    }
  }

  /// Writes a `.npz` file, over one that is there. The same arrays give the same bytes.
  ///
  /// - Throws: `CoixError.file(path:reason:)`.
  public func write(to path: String) throws {
    try WholeFile.write(path) {
      try ZipArchive.encode(
        arrays.sorted { $0.key < $1.key }.map {
          ZipArchive.Entry(name: "\($0.key).npy", bytes: $0.value.encoded()[...])
        })
    }
  }
}
