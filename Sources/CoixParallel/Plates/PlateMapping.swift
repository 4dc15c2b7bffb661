/// How the rows of a plate map to the rows of a row-major buffer.
struct PlateMapping: Sendable {
  /// The plate's name, for messages.
  let plate: String
  /// The plate's rows.
  let rows: PlateRows
  /// The plates that the buffer has rows for.
  var axes = PlateAxes.all
  /// For each row along those plates, the number of the buffer's row; nil if the numbers are the same.
  let index: RowIndex?
  /// How many rows the buffer has.
  let sourceRows: Int

  /// For each of the plate's rows, the number of the buffer's row; nil if the numbers are the same.
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
