import CoixParallel

extension TensorTree {
  /// Writes the tensors into a `.npz` file.
  ///
  /// A tensor without a name (if the tree is a single tensor) is called `arr_0`, as `numpy.savez` does.
  ///
  /// - Parameters:
  ///   - path: The file's path.
  ///   - names: What the tensors are called in the file; by default as in ``namedTensors``.
  /// - Throws: `CoixError.file(path:reason:)`, also if two tensors have the same name; the error that poisoned a
  ///   tensor.
  public func write(npz path: String, named names: TensorNames = .own) throws {
    try NPZArchive(arrays(named: names, in: path)).write(to: path)
  }

  /// The same tree with the numbers of a `.npz` file.
  ///
  /// The file must have an array of the same shape for each tensor, and no others. Numbers of other types than
  /// `f4` are converted as ``NPYArray/tensor()`` does.
  ///
  /// - Parameters:
  ///   - path: The file's path.
  ///   - names: What the tensors are called in the file; by default as in ``namedTensors``.
  /// - Throws: `CoixError.file(path:reason:)`.
  public func reading(npz path: String, named names: TensorNames = .own) throws -> Self {
    try replaced(by: NPZArchive(contentsOf: path).arrays, named: names, in: path)
  }
}
