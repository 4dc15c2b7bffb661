import CoixParallel

extension Tensor {
  /// Data mapped over one of some nested plates, as the rows of all of them read it; other tensors as they
  /// are.
  ///
  /// - Throws: `CoixError.misplacedTensor(operation:reason:)` if none of the plates has the name of the
  ///   tensor's; `CoixError.rowCount(plate:expected:found:)` for another number of rows than the plate has;
  ///   `CoixError.memory(what:bytes:)` where the rows are too many.
  func placed(in plates: [Plate]) throws(CoixError) -> Tensor {
    guard let (name, rows) = mappedOver else { return self }
    guard let position = plates.firstIndex(where: { $0.name == name }) else {
      throw CoixError.misplacedTensor(
        operation: "plate \"\(name)\"",
        reason: "data is mapped over it, but no program stands in a plate of this name")
    }
    let plate = plates[position]
    guard rows == plate.count else {
      throw CoixError.rowCount(plate: name, expected: plate.count, found: rows)
    }
    guard plates.count > 1 else { return self }
    let nest = PlateRows(
      particles: plates[0].count, instances: plates.dropFirst().reduce(1) { $0 * $1.count })
    guard nest.count <= Int32.max else {
      throw CoixError.memory(what: "mapping data over nested plates", bytes: .max)
    }
    let inner = plates[(position + 1)...].reduce(1) { $0 * $1.count }
    func index(_ rows: Int) throws(CoixError) -> RowIndex {
      try RowIndex(count: rows, for: "mapping data over nested plates") { $0 / inner % plate.count }
    }
    if nest.isNested, !isTrackedByRow {
      // Data that only some plates' rows differ in stays so in the chunks, and so does what is computed from
      // it alone.
      let whole = unmapped(readingFiles: false)
      return position == 0
        ? whole.mapped(plate: name, over: nest, along: .particles)
        : whole.mapped(
          plate: name, over: nest, along: .instances,
          index: plates.count > 2 ? try index(nest.instances) : nil)
    }
    return RowGather(try index(nest.count), plate: plates[0].name)(self)
  }
}
