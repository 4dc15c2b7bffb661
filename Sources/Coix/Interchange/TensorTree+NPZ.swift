import CoixParallel

extension TensorTree {
  /// Writes the tensors into a `.npz` file, each under its name in ``namedTensors``.
  ///
  /// A tensor without a name (if the tree is a single tensor) is called `arr_0`, as `numpy.savez` does.
  ///
  /// - Throws: `CoixError.file(path:reason:)`; the error that poisoned a tensor.
  public func write(npz path: String) throws {
    try NPZArchive(arrays(in: path)).write(to: path)
  }

  /// The same tree with the numbers of a `.npz` file.
  ///
  /// The file must have an array of the same shape for each tensor, and no others.
  ///
  /// - Throws: `CoixError.file(path:reason:)`.
  public func reading(npz path: String) throws -> Self {
    try replaced(by: NPZArchive(contentsOf: path).arrays, in: path)
  }
}
