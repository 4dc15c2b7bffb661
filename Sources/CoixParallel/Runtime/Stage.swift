import CoixKernels
import Synchronization

// A stage: the same work on every chunk of a plate, in parallel, and its way back. This file holds what goes in and what
// comes out; StageRun.swift holds the run.

/// How a plate is cut and run.
package struct StagePlan: Sendable {
  /// The plate's rows; nil for a stage outside of any plate.
  package var rows: PlateRows?
  /// Rows a chunk, if the user chose them.
  package var chunkRows: Int?
  package var workers: Workers
  /// Whether each chunk goes backward at once, from its row sums marked so.
  package var isHot: Bool

  package init(rows: PlateRows?, chunkRows: Int?, workers: Workers, isHot: Bool) {
    self.rows = rows
    self.chunkRows = chunkRows
    self.workers = workers
    self.isHot = isHot
  }
}

/// What a chunk leaves behind.
package struct ChunkOutcome {
  /// One tensor that leaves the chunk.
  package enum Export {
    /// Merged with the other chunks' into one tensor over the plate's rows.
    case rows(Tensor)
    /// Summed over the plate's rows. Where `isLoss`, its gradient is taken at once in a hot stage, with the seed 1.
    case sum(Tensor, isLoss: Bool)

    var tensor: Tensor {
      switch self {
      case .rows(let tensor), .sum(let tensor, _): tensor
      }
    }
    /// Whether this merges the rows of `other`: merging it again would be the same.
    package func isRows(of other: Tensor) -> Bool {
      guard case .rows(let tensor) = self else { return false }
      return tensor.isSame(as: other)
    }
    /// Gives a tensor that varies over some of the plates only a value for each row.
    mutating func takeAllRows() {
      switch self {
      case .rows(let tensor): self = .rows(tensor.inAllRows)
      case .sum(let tensor, let isLoss): self = .sum(tensor.inAllRows, isLoss: isLoss)
      }
    }
    var isSum: Bool { if case .sum = self { true } else { false } }
    var isLoss: Bool { if case .sum(_, let isLoss) = self { isLoss } else { false } }
  }

  package var exports: [Export]
  /// The names of the sites: the same in every chunk, or the program isn't pure.
  package var signature: [SiteName]
  /// Whatever the chunk wants to hand on besides; that of the first chunk is kept.
  package var payload: any Sendable

  package init(exports: [Export], signature: [SiteName], payload: any Sendable) {
    self.exports = exports
    self.signature = signature
    self.payload = payload
  }
}

/// What a stage leaves behind.
package struct StageResult {
  /// For each export: over the plate's rows, `[rows, event...]`; uniform, if it was uniform in the chunks; the sum, a scalar.
  package var tensors: [Tensor]
  /// The first chunk's payload.
  package var payload: any Sendable
  /// The number of chunks the plate was cut into.
  package var chunkCount: Int
}

/// Thrown where a chunk's working set outgrows its budget, so that the plate is cut finer.
struct ChunkOutgrown: Error {}

extension ExecutionContext {
  /// Floats that one chunk may hand out before it is cut finer: about one of a core's L2 caches.
  static let chunkBudget = 256 << 10

  /// Notices a chunk that has outgrown its budget. Called at each site.
  package func checkBudget() throws {
    if hasOutgrown || (allocatedFloats > Self.chunkBudget && isCuttable) { throw ChunkOutgrown() }
  }

  private var isCuttable: Bool { mayBeCut && stride > Int(COIX_LANES) }

  /// Whether one tensor alone is far beyond the budget. The chunk then is cut finer, and nothing so large is ever allocated.
  func outgrows(_ elements: Int, rows: Int) -> Bool {
    guard rows > 1, isCuttable, elements > 16 * Self.chunkBudget / rows else { return false }
    hasOutgrown = true
    return true
  }

  /// The chunk's rows of a mapped tensor; other tensors as they are. A tracked one becomes a leaf of the chunk's tape.
  package func local(_ tensor: Tensor) -> Tensor {
    guard !tensor.storage.isPlain, let mapping = tensor.storage.mapping else { return tensor }
    let axes = mapping.axes
    guard rows > 0, axes == .all ? chunk.number(rows - 1) < mapping.rows.count : plate == mapping.rows else {
      return Tensor(
        failure: .misplacedTensor(
          operation: "plate \"\(mapping.plate)\"", reason: "mapped data is read outside of the plate"))
    }
    let result = Tensor(undefinedRows: tensor.shape, in: self, along: axes)
    if let index = mapping.index {
      index.rows.withUnsafeBufferPointer { load(tensor.pointer, $0.baseAddress, into: result, axes) }
    } else {
      load(tensor.pointer, nil, into: result, axes)
    }
    guard tensor.node >= 0, let tape else { return result }
    return result.tracked(
      node: tape.leaf(
        forParentNode: tensor.node, scatter: mapping.scatter, shape: tensor.shape, stride: result.stride),
      tape: tape.id)
  }

  /// Fills a tensor with the chunk's rows of a row-major buffer.
  private func load(
    _ source: UnsafePointer<Float>, _ index: UnsafePointer<Int32>?, into result: Tensor,
    _ axes: PlateAxes = .all
  ) {
    let elements = result.shape.elementCount
    if axes == .all, let rowNumbers {
      coix_load_numbered_rows(source, index, rowNumbers, result.pointer, rows, stride, elements)
    } else {
      coix_load_rows(
        source, index, result.pointer, chunk.first(along: axes), chunk.count(along: axes), result.stride,
        elements)
    }
  }

  /// Puts a tensor's values at the chunk's rows of a row-major buffer.
  func store(_ tensor: Tensor, into target: UnsafeMutablePointer<Float>) {
    let elements = tensor.shape.elementCount
    if let rowNumbers {
      coix_store_numbered_rows(tensor.pointer, rowNumbers, target, rows, stride, elements)
    } else {
      coix_store_rows(tensor.pointer, target, firstRow, rows, stride, elements)
    }
  }

  /// A seed for the chunk's backward pass: `gradient`'s rows, or one number for every row; zero on padding rows.
  func seed(from gradient: Tensor, like node: (shape: Shape, stride: Int)) -> Tensor {
    guard node.stride > 0 else { return gradient }
    let result = Tensor(undefinedRows: node.shape, in: self)
    if gradient.shape.elementCount == 1 && gradient.shape.rank == 0 {
      coix_fill(result.pointer, gradient.scalar, result.bufferCount, 1)
    } else {
      load(gradient.pointer, nil, into: result)
    }
    for element in 0..<node.shape.elementCount {
      (result.pointer + element * stride + rows).update(repeating: 0, count: stride - rows)
    }
    return result
  }
}

extension Tensor {
  /// A tensor over a plate's rows, `[rows, event...]`, as programs of the plate read it: with its event shape.
  ///
  /// With an index, row r reads row index[r]; the way back adds up what the copies of a row collected.
  package func mapped(plate: String, index: RowIndex? = nil) -> Tensor {
    guard shape.rank > 0, !isPoisoned, !isBatched else { return self }
    let event = shape.dropping(1)
    let tape = ExecutionContext.current?.tape
    let source = tape != nil && tape?.id == self.tape ? node : -1
    let targets = shape[0]
    let mapping = PlateMapping(
      plate: plate, rows: PlateRows(particles: index?.count ?? targets), index: index, sourceRows: targets)
    let view = Tensor(storage: Storage(viewing: storage, mapping: mapping), shape: event)
    guard source >= 0, let tape else { return view }
    return view.tracked(node: source, tape: tape.id)
  }

  /// A constant over the rows of some of a nest's plates, `[rows, event...]`, as programs of the nest read it.
  ///
  /// - Parameter index: for each row along those plates, the tensor's row; nil where they are the same.
  package func mapped(plate: String, over rows: PlateRows, along axes: PlateAxes, index: RowIndex? = nil)
    -> Tensor
  {
    guard shape.rank > 0, !isPoisoned, !isBatched else { return self }
    let mapping = PlateMapping(
      plate: plate, rows: rows, axes: axes, index: index, sourceRows: shape[0])
    return Tensor(storage: Storage(viewing: storage, mapping: mapping), shape: shape.dropping(1))
  }

  /// A mapped tensor's values for all rows of its plate, `[rows, event...]`, as a uniform tensor.
  package func unmapped() -> Tensor {
    guard !storage.isPlain, let mapping = storage.mapping else { return self }
    let shape = Shape(mapping.rows.count).appending(self.shape)
    guard let index = mapping.rowIndex else {
      return Tensor(storage: Storage(viewing: storage, mapping: nil), shape: shape, tape: tape, node: node)
    }
    ExecutionContext.current?.rowWork.gathers += 1
    let result = Tensor(undefined: shape)
    index.rows.withUnsafeBufferPointer { rows in
      guard let base = rows.baseAddress else { return }
      coix_gather_rows(pointer, base, result.pointer, rows.count, self.shape.elementCount, Int32(result.team))
    }
    guard let scatter = mapping.scatter else { return result }
    let team = result.team
    return result.recorded(from: self) { scatter($0, team: team) }
  }
}

/// The way back of a gather: rows are added up by the rows that they were read from.
struct RowScatter: Sendable {
  let index: RowIndex
  /// How many rows it was read from.
  let targets: Int

  /// The gradient of the rows that were read, from that of the rows that read them.
  func callAsFunction(_ gradient: Tensor, team: Int) -> Tensor {
    let event = gradient.shape.dropping(1)
    let result = Tensor.zeros(Shape(targets).appending(event))
    let sorted = index.sorted(targets: targets)
    coix_scatter_add_rows(
      gradient.pointer, sorted.order, sorted.offsets, result.pointer, targets, event.elementCount, Int32(team)
    )
    return result
  }
}

extension Tensor {
  /// The plate that a mapped tensor belongs to, and its rows there.
  package var mappedOver: (plate: String, rows: Int)? { storage.mapping.map { ($0.plate, $0.rows.count) } }

  /// Whether this is mapped data that a gradient is taken with respect to.
  package var isTrackedByRow: Bool { isMapped && node >= 0 }

  /// Whether two tensors are the same numbers with the same history.
  package func isSame(as other: Tensor) -> Bool {
    storage === other.storage && node == other.node && shape == other.shape
  }

  /// Whether two mapped tensors are the same rows of the same buffer, with or without a gradient.
  package func isSameMapped(as other: Tensor) -> Bool {
    storage === other.storage && (node < 0) == (other.node < 0)
  }

  /// Whether the tensor must be merged at a barrier: it has a value for each row of the chunk, or is tracked by the chunk's tape.
  package func leavesChunk(_ context: ExecutionContext) -> Bool {
    isBatched || (node >= 0 && tape == context.tape?.id)
  }

  /// The first row (counted in the plate; 0 for a uniform tensor) with an element for which `predicate` holds, and the element.
  package func firstRow(where predicate: (Float) -> Bool) -> (row: Int, value: Float)? {
    guard !isPoisoned, !isMapped else { return nil }
    let whole = inAllRows
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
