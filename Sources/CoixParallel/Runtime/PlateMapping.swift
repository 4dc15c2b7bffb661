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
