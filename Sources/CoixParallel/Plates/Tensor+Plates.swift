import CoixKernels

extension [Tensor] {
  /// Whether all numbers of these tensors are in a range; false if some cannot be read here. To what records the chunk, this is
  /// an operation, or several if there are many tensors.
  package func areWithin(_ range: ClosedRange<Float>) -> Bool {
    allSatisfy { !$0.isPoisoned && !$0.isMapped } && Operation.areWithin(range, map(\.numbers))
  }
}

extension Tensor {
  /// The numbers, of all rows.
  var numbers: UnsafeBufferPointer<Float> {
    UnsafeBufferPointer(start: pointer, count: shape.elementCount * rowCount)
  }

  /// A tensor over a plate's rows, `[rows, event...]`, as programs of the plate read it: with its event
  /// shape.
  ///
  /// With an index, row r of the plate reads row index[r] of this tensor, and the backward pass sums the
  /// gradients of all copies of a row.
  package func mapped(plate: String, index: RowIndex? = nil) -> Tensor {
    guard shape.rank > 0, !isPoisoned, !isBatched else { return self }
    let event = shape.dropping(1)
    let tape = ExecutionContext.current?.tape
    let source = tape != nil && tape?.id == self.tape ? node : -1
    let targets = shape[0]
    let mapping = PlateMapping(
      plate: plate, rows: PlateRows(particles: index?.count ?? targets), index: index, sourceRows: targets)
    let view = Tensor(storage: Storage(viewing: storage, mapping: mapping), shape: event)
    guard source >= 0, let tape else {
      return view.remembering(as: detached, detached.fittedBase?.mapped(plate: plate, index: index))
    }
    return view.tracked(node: source, tape: tape.id)
      .remembering(as: self, fittedBase?.mapped(plate: plate, index: index))
  }

  /// This tensor as a constant that varies over some of the nested plates only, `[rows, event...]` with the
  /// rows of those plates, as programs in the plates read it: with its event shape.
  ///
  /// - Parameter index: for each row along those plates, the tensor's row; nil where they are the same.
  package func mapped(plate: String, over rows: PlateRows, along axes: PlateAxes, index: RowIndex? = nil)
    -> Tensor
  {
    guard shape.rank > 0, !isPoisoned, !isBatched else { return self }
    let mapping = PlateMapping(
      plate: plate, rows: rows, axes: axes, index: index, sourceRows: shape[0])
    return Tensor(storage: Storage(viewing: storage, mapping: mapping), shape: shape.dropping(1))
      .remembering(
        as: detached, detached.fittedBase?.mapped(plate: plate, over: rows, along: axes, index: index))
  }

  /// Zeros in the place of a mapped tensor's rows, so many of them; any other tensor as it is.
  package func standIn(rows: Int) -> Tensor {
    guard let mapping = storage.mapping else { return self }
    let zeros = Tensor.zeros(Shape(rows).appending(shape)).mapped(plate: mapping.plate)
    return node < 0 ? zeros : zeros.tracked(node: node, tape: tape)
  }

  /// What a mapped tensor's rows are rows of, `[rows, event...]`, to be mapped anew. (A detached tensor stays
  /// detached.)
  var source: Tensor {
    guard !storage.isPlain, let mapping = storage.mapping else { return self }
    return Tensor(
      storage: Storage(viewing: storage, mapping: nil), shape: Shape(mapping.sourceRows).appending(shape),
      tape: tape,
      node: node)
  }

  /// A mapped tensor's values for all rows of its plate, `[rows, event...]`, as a uniform tensor.
  ///
  /// - Parameter readingFiles: whether rows in a file are read into memory; else the tensor is good for
  ///   nothing but being mapped again.
  package func unmapped(readingFiles: Bool = true) -> Tensor {
    guard !storage.isPlain, let mapping = storage.mapping else { return self }
    let shape = Shape(mapping.rows.count).appending(self.shape)
    let result: Tensor
    do throws(CoixError) {
      let index = try mapping.rowIndex
      if let file = storage.file, readingFiles || index != nil {
        return try file.read(index, event: self.shape)
      }
      // Few rows of many come by themselves.
      if let ranked = storage.rankRows, let index, index.count < ranked.shares.count / 4 {
        try RowNeed.bring(
          self, to: Array(repeating: 0..<index.count, count: ranked.shares.ranks.count))
      } else {
        try storage.rankRows?.complete()
      }
      guard let index else { return source.remembering(as: self, portableBase) }
      ExecutionContext.current?.rowWork.gathers += 1
      let rows = try index.wholeRows
      guard let gathered = Tensor(undefined: shape) else { return .outOfMemory }
      result = gathered
      coix_op_gather_rows(
        pointer, rows.pointer, result.pointer, rows.count, self.shape.elementCount, ExecutionContext.team
      ).run()
    } catch {
      return Tensor(failure: error)
    }
    guard let scatter = RowScatter(self) else { return result.remembering(as: self, portableBase) }
    let team = ExecutionContext.team
    return result.recorded(from: self) { scatter($0, team: team) }.remembering(as: self, portableBase)
  }

  /// Some rows of a mapped tensor, `[rows, event...]`, as a constant. All ranks ask for their share.
  ///
  /// - Throws: what ranks throw; ``CoixError/memory(what:bytes:)``; ``CoixError/file(path:reason:)``.
  func rows(_ range: Range<Int>, of shape: Shape, sharedBy shares: RowShares) throws(CoixError) -> Tensor {
    try bringRows(sharedBy: shares)
    guard let result = Tensor(undefined: shape) else { throw Storage.lastRefusal }
    try copyRows(range, to: result.pointer)
    return result
  }

  /// Brings to each rank what its own rows read. All ranks call it.
  ///
  /// - Throws: what ranks throw; ``CoixError/memory(what:bytes:)``.
  func bringRows(sharedBy shares: RowShares) throws(CoixError) { try RowNeed.bring(self, to: shares.all) }

  /// Copies some rows of a mapped tensor, which are here, to memory for `[rows, event...]`.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``; ``CoixError/file(path:reason:)``.
  func copyRows(_ range: Range<Int>, to target: UnsafeMutablePointer<Float>) throws(CoixError) {
    let rows = try storage.mapping?.rowIndex?.rows
    let width = shape.elementCount
    if let file = storage.file {
      let own = try RowIndex(count: range.count, for: "\(range.count) rows of a file") { row in
        let number = range.lowerBound + row
        return rows.map { Int($0.pointer[number]) } ?? number
      }
      try file.read(own, width: width, to: target)
    } else if let rows {
      coix_op_gather_rows(
        pointer, rows.pointer + range.lowerBound, target, range.count, width, ExecutionContext.team
      ).run()
    } else {
      coix_op_copy(pointer + range.lowerBound * width, 0, 1, target, 0, 1, range.count * width).run()
    }
  }

  /// The plate that a mapped tensor belongs to, and its rows there.
  package var mappedOver: (plate: String, rows: Int)? { storage.mapping.map { ($0.plate, $0.rows.count) } }

  /// Whether this is mapped data that a gradient is taken with respect to.
  package var isTrackedByRow: Bool { isMapped && node >= 0 }

  /// Whether two tensors have the same storage, tape node and shape.
  package func isSame(as other: Tensor) -> Bool {
    storage === other.storage && node == other.node && shape == other.shape
  }

  /// Whether two mapped tensors are the same rows of the same buffer, and both or neither are tracked.
  package func isSameMapped(as other: Tensor) -> Bool {
    storage === other.storage && (node < 0) == (other.node < 0)
  }

  /// Whether the tensor must be merged at a barrier: it has a value for each row of the chunk, or is tracked
  /// by the chunk's tape.
  package func leavesChunk(_ context: ExecutionContext) -> Bool {
    isBatched || (node >= 0 && tape == context.tape?.id)
  }

  /// Whether all numbers are in a range; false for a tensor whose numbers cannot be read here. To what records
  /// the chunk, this is an operation.
  package func isWithin(_ range: ClosedRange<Float>) -> Bool { [self].areWithin(range) }

  /// The first row (counted in the plate; 0 for a uniform tensor) with an element for which `predicate`
  /// holds, and the element.
  package func firstRow(where predicate: (Float) -> Bool) -> (row: Int, value: Float)? {
    guard !isPoisoned, !isMapped else { return nil }
    let whole = inAllRows
    guard !whole.isPoisoned else { return nil }
    ExecutionContext.current?.recording?.noteReading(whole.pointer)
    let chunk = ExecutionContext.current?.chunk ?? .none
    for row in 0..<(isBatched ? chunk.count : 1) {
      for element in 0..<shape.elementCount {
        let value = whole.pointer[element * whole.rowCount + row]
        if predicate(value) { return (isBatched ? chunk.number(row) : 0, value) }
      }
    }
    return nil
  }
}
