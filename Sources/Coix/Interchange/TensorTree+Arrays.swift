import CoixParallel

extension TensorTree {
  /// The tensors' numbers by their names in a file, for writing it.
  ///
  /// - Throws: `CoixError.file(path:reason:)` for two tensors of one name; the error that poisoned a tensor.
  func arrays(named names: TensorNames = .own, in path: String) throws -> [String: NPYArray] {
    var arrays: [String: NPYArray] = [:]
    for (own, tensor) in namedTensors {
      let name = names(own).orUnnamed
      guard arrays.updateValue(try NPYArray(tensor), forKey: name) == nil else {
        throw CoixError.file(path: path, reason: "two tensors have the name \(name)")
      }
    }
    return arrays
  }

  /// The same tree with the numbers of a file's arrays.
  ///
  /// - Throws: `CoixError.file(path:reason:)` unless there is an array of the same shape for each tensor, and no
  ///   others.
  func replaced(
    by arrays: [String: NPYArray], named names: TensorNames = .own, in path: String
  ) throws -> Self {
    var arrays = arrays
    let result = try mapNamedTensors { own, tensor in
      let name = names(own).orUnnamed
      guard let array = arrays.removeValue(forKey: name) else {
        throw CoixError.file(path: path, reason: "has no array \(name)")
      }
      guard array.shape == Array(tensor.shape) else {
        throw CoixError.file(
          path: path,
          reason: "the array \(name) has the shape \(array.shape), \(tensor.shape) is expected")
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
