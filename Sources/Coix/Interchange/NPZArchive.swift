import CoixParallel

/// Arrays by name, as a `.npz` file holds them: a zip archive of `.npy` files.
///
/// ```swift
/// let archive = try NPZArchive(contentsOf: "data.npz")
/// let points = try archive.arrays["points"]?.tensor()
/// ```
///
/// The archives that `numpy.savez` and `numpy.savez_compressed` write can be read, and other archives of
/// stored or deflated entries; folders and entries that are not arrays are skipped. Archives are written
/// without compression; `numpy.load` reads them.
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
      let archive = try ZipArchive(bytes)
      try SystemMemory.require(
        archive.entries.reduce(0) { $0.addingSaturated($1.size) }, for: "the archive's entries")
      var arrays: [String: NPYArray] = [:]
      for entry in archive.entries where !entry.name.hasSuffix("/") {
        let contents = try archive.contents(of: entry)
        let isNamedArray = entry.name.hasSuffix(".npy")
        guard isNamedArray || NPYHeader.isNPY(contents) else { continue }
        let array: NPYArray
        do { array = try NPYArray(decoding: contents) } catch let problem as MalformedFile {
          throw MalformedFile("the entry \(entry.name): \(problem.reason)")
        }
        let name = isNamedArray ? String(entry.name.dropLast(4)) : entry.name
        guard arrays.updateValue(array, forKey: name) == nil else {
          throw MalformedFile("the array \(name) is there twice")
        }
      }
      return arrays
    }
  }

  /// Writes a `.npz` file, and replaces an existing one. The same arrays give the same bytes.
  ///
  /// - Throws: `CoixError.file(path:reason:)`.
  public func write(to path: String) throws {
    try WholeFile.write(path) {
      try ZipArchive.encode(
        arrays.sorted { $0.key < $1.key }.map { (name: "\($0.key).npy", contents: $0.value.encoded) })
    }
  }
}

extension Int {
  /// The sum, or the greatest `Int` if the sum overflows.
  fileprivate func addingSaturated(_ other: Int) -> Int {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
