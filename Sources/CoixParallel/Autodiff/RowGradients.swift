import CoixKernels
import Synchronization

/// The gradients of the parent tape's tensors over a plate's rows: each chunk writes its own rows.
///
/// Where ranks share many rows, each rank has the gradients of its own rows. Those of gathered rows go to the ranks
/// that have the rows they were gathered from.
final class RowGradients: Sendable {
  /// The gradients of all chunks' leaves of one name.
  private struct Collected {
    let leaf: Tape.Leaf
    let gradient: Tensor
    /// For gathered rows that ranks share: room for the sums of what goes back to each rank's own rows.
    let sums: Tensor?
    /// The leaf's smallest position in any chunk's list of leaves. Sorting by it gives an order that does not
    /// depend on which worker finishes first.
    var position: Int

    static func precedes(_ a: Collected, _ b: Collected) -> Bool {
      (a.position, a.leaf.parentNode) < (b.position, b.leaf.parentNode)
    }

    /// Whether both were gathered by the same numbers, from rows that are shared in the same way.
    func travels(with other: Collected) -> Bool {
      leaf.scatter?.index === other.leaf.scatter?.index
        && sums?.storage.rankRows?.shares == other.sums?.storage.rankRows?.shares
    }
  }

  private let rows: Int
  /// Whose rows are whose, where each rank has the gradients of its own; nil where each is to have all of them.
  private let shares: RowShares?
  private let collected = Mutex<[Tape.Leaf.Name: Collected]>([:])

  /// - Parameter rows: how many rows the plate has.
  init(of tasks: ChunkTasks, rows: Int) {
    self.rows = rows
    shares = tasks.shares.flatMap { $0.areOfManyRows ? $0 : nil }
  }

  /// Stores the gradients of a chunk's leaves at the chunk's rows.
  ///
  /// - Parameter outsideOfChunk: calls a function that makes memory which outlives the chunk.
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  func store(
    _ tape: Tape, _ context: ExecutionContext, _ outsideOfChunk: (() throws -> Tensor) throws -> Tensor
  ) throws {
    for (position, leaf) in tape.leaves.enumerated() {
      guard let gradient = tape.gradient(of: leaf.node), gradient.isBatched else { continue }
      let target = try collected.withLock { collected -> Tensor in
        if let known = collected[leaf.name] {
          collected[leaf.name]?.position = min(known.position, position)
          return known.gradient
        }
        // The rows of chunks that don't read the tensor stay zero.
        let tensor = try outsideOfChunk {
          try shares.map { try Tensor(rowsOf: $0, event: gradient.shape) }
            ?? Tensor.zeros(Shape([rows]).appending(gradient.shape)).validated()
        }
        let sums = try targets(of: leaf.scatter).map { targets in
          try outsideOfChunk { try Tensor(rowsOf: targets, event: gradient.shape) }
        }
        collected[leaf.name] = Collected(leaf: leaf, gradient: tensor, sums: sums, position: position)
        return tensor
      }
      context.store(gradient, into: target.pointer)
    }
  }

  /// Whose rows are whose of those that gathered rows' gradients go back to; nil where each rank adds up all of them.
  private func targets(of scatter: RowScatter?) -> RowShares? {
    // The numbers that a chunk has made have no name.
    guard let shares, let scatter, scatter.index.sharing != nil else { return nil }
    return scatter.shares ?? (scatter.targets == shares.count ? shares : nil)
  }

  /// What has been collected, in an order that does not depend on the workers.
  private var parts: [Collected] { collected.withLock { $0.values.sorted(by: Collected.precedes) } }

  /// The gradients so far.
  var tensors: [Tensor] { parts.map(\.gradient) }

  /// What ranks write together, and each is to have all of.
  var exchanges: [RankExchange] {
    guard shares == nil else { return [] }
    return tensors.map { .rows($0.pointer, elements: $0.shape.dropping(1).elementCount) }
  }

  /// A number that stands for the list of the gradients.
  var form: UInt64 {
    let parts = parts
    var form = RankForm()
    for part in parts {
      let node = part.leaf.parentNode
      form.add(Int(node))
      // Gathers of one tensor can only be told apart by their indices: by their names, or by their rows.
      guard let scatter = part.leaf.scatter, parts.count(where: { $0.leaf.parentNode == node }) > 1 else {
        continue
      }
      scatter.index.add(to: &form)
    }
    return form.value
  }

  /// Adds the gradients to those of the parent's tape. Gradients of gathered rows are first scattered back to
  /// the rows that they were read from. All ranks call it, and agree on what there is.
  ///
  /// - Throws: what ranks throw; ``CoixError/memory(what:bytes:)``.
  func deliver(to tape: Tape, in recording: Recording?, team: Int) throws {
    let parts = parts
    for tensor in parts.flatMap({ [$0.gradient, $0.sums] }) { tensor?.storage.rankRows?.takeName() }
    try addUp(parts.filter { $0.sums != nil }, in: recording, team: team)
    for part in parts {
      let gradient =
        if let sums = part.sums { sums } else if let scatter = part.leaf.scatter {
          scatter(try part.gradient.validated(), team: Int32(team))
        } else { part.gradient }
      tape.add(gradient, to: part.leaf.parentNode)
    }
  }

  /// Adds up what goes back to each rank's own rows.
  private func addUp(_ parts: [Collected], in recording: Recording?, team: Int) throws {
    var rest = parts
    while let first = rest.first, let shares, let index = first.leaf.scatter?.index,
      let targets = first.sums?.storage.rankRows?.shares
    {
      let together = rest.filter(first.travels)
      rest.removeAll(where: first.travels)
      try RowNeed.bring(index, to: shares.all)
      let call = RowReturn(
        of: together.compactMap { part in part.sums.map { (part.gradient, $0) } }, by: try index.rows,
        from: shares, to: targets, team: Int32(team))
      _ = try call.run()
      for sums in together.compactMap(\.sums) { recording?.keep(sums.storage) }
      recording?.append(call)
    }
  }
}

extension Tensor {
  /// Zeros for all rows of ranks, `[rows, event...]`, of which this rank will have its own.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  init(rowsOf shares: RowShares, event: Shape) throws {
    let shape = Shape([shares.count]).appending(event)
    let rows = try RankRows(
      shares, unit: event.elementCount * MemoryLayout<Float>.stride,
      for: "the gradient of \(shares.own.count) rows")
    self.init(storage: Storage(in: rows, capacity: shape.elementCount), shape: shape)
  }

  /// The sum of two gradients, `[rows, event...]`, of at least one of which this rank has its own rows alone. Of the
  /// sum, too, it has these alone. nil where both gradients are whole, or where ranks share their rows in different
  /// ways.
  ///
  /// The sum takes the place of the gradient that is in parts. Nobody else has that one: it was made for one node, by a
  /// stage or by weights.
  static func sumOfOwnRows(_ a: Tensor, _ b: Tensor) -> Tensor? {
    let (sum, other) = a.rowsInParts == nil ? (b, a) : (a, b)
    guard let rows = sum.rowsInParts, other.rowsInParts.map({ $0.shares == rows.shares }) ?? true else {
      return nil
    }
    let (own, width) = (rows.shares.own, sum.shape.dropping(1).elementCount)
    withExtendedLifetime(other) {
      coix_op_accumulate(
        sum.pointer + own.lowerBound * width, other.pointer + own.lowerBound * width, own.count * width,
        ExecutionContext.team
      ).run()
    }
    return sum
  }
}
