/// How the rows of a plate map to the rows of a row-major buffer.
struct PlateMapping: Sendable {
  /// The plate's name, for messages.
  let plate: String
  /// The plate's rows.
  let rows: PlateRows
  /// The plates that the buffer has rows for.
  var axes = PlateAxes.all
  /// The buffer's row for each row along those plates; nil where they are the same.
  let index: RowIndex?
  /// The buffer's rows.
  let sourceRows: Int

  /// The rows that a gradient goes back to, by an index; nil where they are the plate's. The tensor's node is
  /// that of the whole buffer.
  var scatter: RowScatter? { index.map { RowScatter(index: $0, targets: sourceRows) } }

  /// The buffer's row for each of the plate's rows; nil where they are the same.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  var rowIndex: RowIndex? {
    get throws(CoixError) {
      guard axes != .all else { return index }
      let numbers = try rows.index(along: axes)
      return index.map { RowIndex($0, then: numbers) } ?? numbers
    }
  }
}
