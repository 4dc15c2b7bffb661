/// A set of conditionally independent copies of a program: particles, or instances of data.
///
/// A program is written for one row; the plate runs it for all of them, cut into chunks of consecutive rows
/// that workers take one after another. How it is cut depends on the row count, the program and
/// ``chunkRows``, never on the number of threads.
///
/// Plates nest: `particles(instances(program))`. What a program computes from data mapped over the instances
/// alone, a network's features say, is computed once for an instance in each chunk of particles (of which
/// there are 32 or more in a chunk, if the plate has them), and what it computes from data mapped over the
/// particles alone once for a particle.
public struct Plate: Hashable, Sendable {
  /// The plate's name, for mapped data and messages.
  public let name: String
  /// The number of rows.
  public let count: Int
  /// Rows a chunk, if not left to the runtime.
  public let chunkRows: Int?

  /// A plate.
  ///
  /// A count or chunk size below one is an error when a program of the plate is evaluated.
  public init(_ name: String, count: Int, chunkRows: Int? = nil) {
    self.name = name
    self.count = count
    self.chunkRows = chunkRows
  }

  /// Data with one row for each row of the plate, `[count, event...]`: inside the plate's programs a tensor
  /// of the event shape.
  ///
  /// A wrong row count is an error of the evaluation that the data is given to.
  public func mapped(_ data: Tensor) -> Tensor {
    guard data.failure == nil else { return data }
    guard data.shape.rank > 0 else {
      return Tensor.mismatch("plate \"\(name)\"", of: [data], "data mapped over a plate needs rows")
    }
    return data.mapped(plate: name)
  }

  /// The same for each tensor of a tree.
  public func mapped<Tree: TensorTree>(_ tree: Tree) -> Tree {
    (try? tree.mapTensors { mapped($0) }) ?? tree  // the transform doesn't throw
  }

  package var description: String { "\"\(name)\" of \(count)" }
}
