import CoixKernels
import Synchronization

/// The gradients of the parent tape's uniform tensors, summed in double over the chunks of one task.
///
/// While a tensor has a gradient from one chunk only, that gradient is kept as it is: most stages of few rows
/// have a single chunk.
final class GradientSums: @unchecked Sendable {
  // @unchecked: one task writes it; it is read after the parallel region.

  private struct Sum {
    let node: Int32
    let first: Tensor
    /// The sums in double; nil until a second chunk adds its gradient.
    var values: Numbers<Double>?
    var isDelivered = false

    mutating func add(_ gradient: UnsafePointer<Float>) throws(CoixError) {
      coix_accumulate_double(try inDouble().pointer, gradient, first.shape.elementCount)
    }

    /// The sums so far.
    mutating func inDouble() throws(CoixError) -> Numbers<Double> {
      if let values { return values }
      let count = first.shape.elementCount
      let made = try Numbers<Double>(count: count, for: "the gradient of \(count) numbers, summed in double")
      for index in 0..<count { made[index] = Double(first.pointer[index]) }
      values = made
      return made
    }
  }

  private var sums: [Sum] = []

  /// Adds the gradients of those of a chunk's leaves that are the same for all rows.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  func add(_ tape: Tape) throws(CoixError) {
    if sums.isEmpty { sums.reserveCapacity(tape.leaves.count) }
    for (node, gradient) in tape.uniformGradients {
      if let position = sums.firstIndex(where: { $0.node == node }) {
        try sums[position].add(gradient.pointer)
      } else {
        sums.append(Sum(node: node, first: gradient))
      }
    }
  }

  /// Adds a gradient that a chunk's plan has computed.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  func add(_ gradient: ChunkPlan.Gradient, at address: UnsafePointer<Float>) throws(CoixError) {
    if let position = sums.firstIndex(where: { $0.node == gradient.parentNode }) {
      return try sums[position].add(address)
    }
    guard let first = Tensor(undefined: gradient.shape) else { throw Storage.lastRefusal }
    first.pointer.update(from: address, count: gradient.shape.elementCount)
    sums.append(Sum(node: gradient.parentNode, first: first))
  }

  /// The sums of all tasks, in the tasks' order, by the parent's nodes.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  static func totals(of tasks: Table<GradientSums>, team: Int) throws(CoixError)
    -> [(parentNode: Int32, tensor: Tensor)]
  {
    var totals: [(parentNode: Int32, tensor: Tensor)] = []
    // All tasks mostly have the same nodes in the same order. The first task that has a node delivers the sum
    // of all tasks for it.
    for task in 0..<tasks.count {
      let own = tasks[task]
      for position in own.sums.indices where !own.sums[position].isDelivered {
        let node = own.sums[position].node
        var total = own.sums[position].first
        if tasks.count > 1 || own.sums[position].values != nil {
          let parts = (task..<tasks.count).compactMap { tasks[$0].take(node, near: position) }
          guard let sum = Tensor(undefined: total.shape) else { throw Storage.lastRefusal }
          total = sum
          coix_merge_double(parts, parts.count, total.pointer, total.shape.elementCount, Int32(team))
        }
        totals.append((node, total))
      }
    }
    return totals
  }

  /// This task's sums for a node, which are marked as delivered; nil if the task has none. The node is looked
  /// for at `position` first.
  private func take(_ node: Int32, near position: Int) -> coix_part? {
    let isNear = position < sums.count && sums[position].node == node
    guard let found = isNear ? position : sums.firstIndex(where: { $0.node == node }) else { return nil }
    sums[found].isDelivered = true
    let sum = sums[found]
    return coix_part(
      sums: sum.values.map { UnsafePointer($0.pointer) }, numbers: UnsafePointer(sum.first.pointer))
  }
}

/// The gradients of the parent tape's tensors over a plate's rows: each chunk writes its own rows.
final class RowGradients: Sendable {
  /// The gradients of all chunks' leaves of one name.
  private struct Collected {
    let leaf: Tape.Leaf
    let gradient: Tensor
    /// The leaf's smallest position in any chunk's list of leaves. Sorting by it gives an order that does not
    /// depend on which worker finishes first.
    var position: Int

    static func precedes(_ a: Collected, _ b: Collected) -> Bool {
      (a.position, a.leaf.parentNode) < (b.position, b.leaf.parentNode)
    }
  }

  private let rows: Int
  private let collected = Mutex<[Tape.Leaf.Name: Collected]>([:])

  init(rows: Int) { self.rows = rows }

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
          try Tensor.zeros(Shape([rows]).appending(gradient.shape)).validated()
        }
        collected[leaf.name] = Collected(leaf: leaf, gradient: tensor, position: position)
        return tensor
      }
      context.store(gradient, into: target.pointer)
    }
  }

  /// The gradients so far.
  var tensors: [Tensor] { collected.withLock { $0.values.map(\.gradient) } }

  /// Adds the gradients to those of the parent's tape. Gradients of gathered rows are first scattered back to
  /// the rows that they were read from.
  func deliver(to tape: Tape, team: Int) {
    for part in collected.withLock({ $0.values.sorted(by: Collected.precedes) }) {
      let gradient = part.leaf.scatter.map { $0(part.gradient, team: team) } ?? part.gradient
      tape.add(gradient, to: part.leaf.parentNode)
    }
  }
}
