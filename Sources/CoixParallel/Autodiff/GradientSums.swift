import CoixKernels
import Synchronization

/// The gradients of the parent tape's uniform tensors, summed in double over the chunks of one task.
///
/// The first chunk's gradient is kept as it is until a second one comes: most stages of few rows have only
/// one.
final class GradientSums: @unchecked Sendable {
  // @unchecked: one task writes it; it is read after the parallel region.

  private struct Sum {
    let node: Int32
    let first: Tensor
    /// In double, once there are several chunks.
    var values: Numbers<Double>?
    var isDelivered = false

    mutating func add(_ gradient: Tensor) throws(CoixError) {
      coix_accumulate_double(try inDouble().pointer, gradient.pointer, first.shape.elementCount)
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

  /// Adds what a chunk's leaves collected.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  func add(_ tape: Tape) throws(CoixError) {
    if sums.isEmpty { sums.reserveCapacity(tape.leaves.count) }
    for leaf in tape.leaves {
      guard let gradient = tape.gradient(of: leaf.node), !gradient.isBatched else { continue }
      if let position = sums.firstIndex(where: { $0.node == leaf.parentNode }) {
        try sums[position].add(gradient)
      } else {
        sums.append(Sum(node: leaf.parentNode, first: gradient))
      }
    }
  }

  /// Adds the sums of all tasks, in the tasks' order, to the parent's gradients.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  static func deliver(_ tasks: Table<GradientSums>, scaledBy factor: Float, to tape: Tape, team: Int)
    throws(CoixError)
  {
    // All tasks mostly have the same nodes in the same order; a node is delivered where it is first met.
    for task in 0..<tasks.count {
      let own = tasks[task]
      for position in own.sums.indices where !own.sums[position].isDelivered {
        let node = own.sums[position].node
        var total = own.sums[position].first
        if tasks.count > 1 || own.sums[position].values != nil {
          var parts: [UnsafePointer<Double>?] = []
          for task in task..<tasks.count {
            if let sums = try tasks[task].take(node, near: position) { parts.append(sums) }
          }
          guard let sum = Tensor(undefined: total.shape) else { throw Storage.lastRefusal }
          total = sum
          coix_merge_double(parts, parts.count, total.pointer, total.shape.elementCount, Int32(team))
        }
        tape.add(factor == 1 ? total : total * Tensor(factor), to: node)
      }
    }
  }

  /// The sums for a node, which is looked for at `position` first; they count as delivered.
  private func take(_ node: Int32, near position: Int) throws(CoixError) -> UnsafePointer<Double>? {
    let isNear = position < sums.count && sums[position].node == node
    guard let found = isNear ? position : sums.firstIndex(where: { $0.node == node }) else { return nil }
    sums[found].isDelivered = true
    return UnsafePointer(try sums[found].inDouble().pointer)
  }
}

/// The gradients of the parent tape's tensors over a plate's rows: each chunk writes its own rows.
final class RowGradients: Sendable {
  /// What the chunks' leaves of one name collected.
  private struct Collected {
    let leaf: Tape.Leaf
    let gradient: Tensor
    /// The first place of the leaf among any chunk's, for an order that does not depend on the workers'.
    var position: Int

    static func precedes(_ a: Collected, _ b: Collected) -> Bool {
      (a.position, a.leaf.parentNode) < (b.position, b.leaf.parentNode)
    }
  }

  private let rows: Int
  private let collected = Mutex<[Tape.Leaf.Name: Collected]>([:])

  init(rows: Int) { self.rows = rows }

  /// Stores what a chunk's leaves collected at the chunk's rows.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  func store(_ tape: Tape, _ context: ExecutionContext) throws {
    for (position, leaf) in tape.leaves.enumerated() {
      guard let gradient = tape.gradient(of: leaf.node), gradient.isBatched else { continue }
      let target = try collected.withLock { collected -> Tensor in
        if let known = collected[leaf.name] {
          collected[leaf.name]?.position = min(known.position, position)
          return known.gradient
        }
        // Chunks that don't read the tensor leave zeros.
        let tensor = try Tensor.zeros(Shape([rows]).appending(gradient.shape)).validated()
        collected[leaf.name] = Collected(leaf: leaf, gradient: tensor, position: position)
        return tensor
      }
      context.store(gradient, into: target.pointer)
    }
  }

  /// Adds the gradients to the parent's.
  func deliver(to tape: Tape, team: Int) {
    for part in collected.withLock({ $0.values.sorted(by: Collected.precedes) }) {
      let gradient = part.leaf.scatter.map { $0(part.gradient, team: team) } ?? part.gradient
      tape.add(gradient, to: part.leaf.parentNode)
    }
  }
}
