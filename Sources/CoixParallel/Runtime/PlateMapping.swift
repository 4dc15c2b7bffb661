/// How the rows of a plate map to the rows of a row-major buffer.
struct PlateMapping: Sendable {
  /// The plate's name, for messages.
  let plate: String
  /// The number of the plate's rows.
  let rows: Int
  /// The buffer's row for each of the plate's rows; nil where they are the same.
  let index: RowIndex?
  /// The buffer's rows.
  let sourceRows: Int
  /// The node of the whole buffer on the caller's tape, -1 for a constant; the tensor's own node is that of the rows it reads.
  let sourceNode: Int32
}

/// Ancestor indices, shared by all tensors that were resampled together.
package final class RowIndex: Sendable {
  let rows: [Int32]
  package init(_ rows: [Int32]) { self.rows = rows }

  /// The index that first looks up `outer`, then this one: of values gathered by `self` and again by `outer`.
  func gathered(by outer: RowIndex) -> RowIndex {
    RowIndex(outer.rows.map { rows[Int($0)] })
  }
}
