import CoixParallel

extension TensorTree {
  /// Writes the tensors into a safetensors file, as F32.
  ///
  /// A tensor without a name (if the tree is a single tensor) is called `arr_0`, as in a `.npz` file.
  ///
  /// - Parameters:
  ///   - path: The file's path.
  ///   - names: What the tensors are called in the file; by default as in ``namedTensors``.
  ///   - metadata: The texts of the file, by name.
  /// - Throws: `CoixError.file(path:reason:)`, also if two tensors have the same name; the error that poisoned a
  ///   tensor.
  public func write(
    safetensors path: String, named names: TensorNames = .own, metadata: [String: String] = [:]
  ) throws {
    try SafetensorsFile(arrays(named: names, in: path), metadata: metadata).write(to: path)
  }

  /// The same tree with the numbers of a safetensors file.
  ///
  /// The file must have an array of the same shape for each tensor, and no others. Numbers of other types than
  /// F32 are converted as ``NPYArray/tensor()`` does.
  ///
  /// - Parameters:
  ///   - path: The file's path.
  ///   - names: What the tensors are called in the file; by default as in ``namedTensors``.
  /// - Throws: `CoixError.file(path:reason:)`.
  public func reading(safetensors path: String, named names: TensorNames = .own) throws -> Self {
    try replaced(by: SafetensorsFile(contentsOf: path).arrays, named: names, in: path)
  }
}
