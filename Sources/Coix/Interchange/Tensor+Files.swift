import CoixParallel

extension Tensor {
  /// The numbers of a file: of a `.npy` file if its name ends in `.npy`, else of a text file as ``CSVTable``
  /// reads it.
  ///
  /// - Throws: `CoixError.file(path:reason:)`.
  public init(contentsOf path: String) throws {
    guard !path.lowercased().hasSuffix(".npz") else {
      throw CoixError.file(path: path, reason: "holds arrays by name: read it by NPZArchive(contentsOf:)")
    }
    do {
      self =
        path.lowercased().hasSuffix(".npy")
        ? try NPYArray(contentsOf: path).tensor() : try CSVTable(contentsOf: path).tensor()
    } catch CoixError.argument(let reason) {
      throw CoixError.file(path: path, reason: reason)
    }
  }

  /// Writes the numbers into a `.npy` file, and replaces an existing one.
  ///
  /// - Throws: `CoixError.file(path:reason:)`; the error that poisoned the tensor.
  public func write(npy path: String) throws {
    try NPYArray(self).write(to: path)
  }
}
