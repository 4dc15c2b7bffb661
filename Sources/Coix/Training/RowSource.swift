import CoixParallel

/// Data that batches are taken from, row by row: a tensor, for example, or a file.
public protocol RowSource<Rows>: Sendable {
  /// Some of the rows: tensors whose first axis counts them.
  associatedtype Rows: TensorTree

  /// The number of rows.
  var rowCount: Int { get }

  /// The rows of the given numbers, from 0 to less than ``rowCount``, in this order.
  ///
  /// - Throws: what reading them throws.
  func rows(numbered numbers: [Int]) throws -> Rows
}

/// The rows of a tensor `[rows, …]`.
extension Tensor: RowSource {
  public var rowCount: Int { shape.rank > 0 ? shape[0] : 0 }

  /// - Throws: `CoixError.shape(operation:shapes:reason:)` for a row that is not there.
  public func rows(numbered numbers: [Int]) throws -> Tensor {
    try rows(at: numbers.map { Int32(exactly: $0) ?? -1 }).validated()
  }
}

/// The rows of a file that may be larger than memory. Only those of a batch are read.
extension NPYFile: RowSource {
  public func rows(numbered numbers: [Int]) throws -> Tensor { try rows(at: numbers) }
}

/// Several sources side by side: row i of all of them belongs together.
struct RowSources<each Source: RowSource>: RowSource {
  private let sources: (repeat each Source)
  let rowCount: Int

  /// - Throws: `CoixError.argument(_:)` for sources with unequal numbers of rows.
  init(_ sources: repeat each Source) throws {
    var counts: [Int] = []
    for source in repeat each sources { counts.append(source.rowCount) }
    guard Set(counts).count <= 1 else {
      throw CoixError.argument("Batches: the sources need the same number of rows, have \(counts)")
    }
    self.sources = (repeat each sources)
    rowCount = counts.first ?? 0
  }

  func rows(numbered numbers: [Int]) throws -> Tuple<repeat (each Source).Rows> {
    Tuple(repeat try (each sources).rows(numbered: numbers))
  }
}
