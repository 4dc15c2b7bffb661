import CoixParallel

extension TensorTree {
  /// Writes the tensors into a `.npz` file, each under its name in ``namedTensors``.
  ///
  /// A tensor without a name (if the tree is a single tensor) is called `arr_0`, as `numpy.savez` does.
  ///
  /// - Throws: `CoixError.file(path:reason:)`; the error that poisoned a tensor.
  public func write(npz path: String) throws {
    var archive = NPZArchive()
    for (name, tensor) in namedTensors {
      guard archive.arrays.updateValue(try NPYArray(tensor), forKey: name.orUnnamed) == nil else {
        throw CoixError.file(path: path, reason: "two tensors have the name \(name)")
      }
    }
    try archive.write(to: path)
  }

  /// The same tree with the numbers of a `.npz` file.
  ///
  /// The file must have an array of the same shape for each tensor, and no others.
  ///
  /// - Throws: `CoixError.file(path:reason:)`.
  public func reading(npz path: String) throws -> Self {
    var arrays = try NPZArchive(contentsOf: path).arrays
    let result = try mapNamedTensors { name, tensor in
      guard let array = arrays.removeValue(forKey: name.orUnnamed) else {
        throw CoixError.file(path: path, reason: "has no array \(name.orUnnamed)")
      }
      guard array.shape == Array(tensor.shape) else {
        throw CoixError.file(
          path: path,
          reason: "the array \(name.orUnnamed) has the shape \(array.shape), \(tensor.shape) is expected")
      }
      return try array.tensor()
    }
    if let name = arrays.keys.min() {
      throw CoixError.file(path: path, reason: "has an array \(name) that nothing here has the name of")
    }
    return result
  }
}

extension String {
  fileprivate var orUnnamed: String { isEmpty ? "arr_0" : self }
}
