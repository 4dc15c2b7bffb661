import CoixKernels

/// The gradients of the parent tape's uniform tensors, summed in double over the chunks of one task.
///
/// While a tensor has a gradient from one chunk only, that gradient is kept as it is: most stages of few rows
/// have a single chunk.
final class GradientSums: @unchecked Sendable {
  // @unchecked: one task writes it; it is read after the parallel region.

  private struct Sum {
    let node: Int32
    /// How many chunks it has a gradient from.
    var chunks = 0
    /// The first chunk's gradient, and whether it lies in memory of this sum's own.
    var first: Tensor
    var isOwn: Bool
    /// The sums in double, from the second chunk on. The memory is kept for further runs.
    var values: Numbers<Double>?

    /// Adds a gradient to that of the first chunk.
    mutating func add(_ gradient: UnsafePointer<Float>) throws(CoixError) {
      let sums = try inDouble()
      coix_accumulate_double(sums.pointer, gradient, sums.count)
      chunks += 1
    }

    /// The sums so far.
    private mutating func inDouble() throws(CoixError) -> Numbers<Double> {
      if chunks > 1, let values { return values }
      let count = first.shape.elementCount
      if values == nil {
        values = try Numbers(count: count, for: "the gradient of \(count) numbers, summed in double")
      }
      guard let values else { throw Storage.lastRefusal }
      for index in 0..<count { values.pointer[index] = Double(first.pointer[index]) }
      return values
    }
  }

  private var sums: [Sum] = []

  /// Where the sum over all tasks goes, for a node of the parent.
  struct Total {
    let parentNode: Int32
    var address: UnsafeMutablePointer<Float>
    let count: Int

    init(_ parentNode: Int32, in tensor: Tensor) {
      self.parentNode = parentNode
      address = tensor.pointer
      count = tensor.shape.elementCount
    }
  }

  /// Adds the gradients of those of a chunk's leaves that are the same for all rows.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  func add(_ tape: Tape) throws(CoixError) {
    if sums.isEmpty { sums.reserveCapacity(tape.leaves.count) }
    for (node, gradient) in tape.uniformGradients {
      if let position = position(of: node) {
        try sums[position].add(gradient.pointer)
      } else {
        sums.append(Sum(node: node, chunks: 1, first: gradient, isOwn: false))
      }
    }
  }

  /// Adds a gradient that a chunk's plan has computed.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  func add(_ gradient: ChunkPlan.Gradient, at address: UnsafePointer<Float>) throws(CoixError) {
    let known = position(of: gradient.parentNode)
    if let known, sums[known].chunks > 0 { return try sums[known].add(address) }
    if known.map({ sums[$0].isOwn }) != true {
      guard let own = Tensor(undefined: gradient.shape) else { throw Storage.lastRefusal }
      let sum = Sum(node: gradient.parentNode, first: own, isOwn: true)
      if let known { sums[known] = sum } else { sums.append(sum) }
    }
    let position = known ?? sums.count - 1
    sums[position].first.pointer.update(from: address, count: gradient.shape.elementCount)
    sums[position].chunks = 1
  }

  private func position(of node: Int32) -> Int? { sums.firstIndex { $0.node == node } }

  /// Forgets all gradients, but keeps the memory for those of another run.
  func clear() {
    for position in sums.indices { sums[position].chunks = 0 }
  }

  /// The sums of all tasks, in the tasks' order, by the parent's nodes.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  static func totals(of sums: Table<GradientSums>, from tasks: ChunkTasks, to tape: Tape) throws
    -> [(parentNode: Int32, tensor: Tensor)]
  {
    if sums.count == 1, sums[0].sums.allSatisfy({ $0.chunks == 1 }) {
      return sums[0].sums.map { ($0.node, $0.first) }
    }
    let nodes = try tasks.union(of: Self.nodes(of: sums, tasks.ownTasks))
    let totals = try nodes.map { node in
      guard let total = Tensor(undefined: tape.form(of: node).shape) else { throw Storage.lastRefusal }
      return (parentNode: node, tensor: total)
    }
    try addUp(sums, from: tasks, to: totals.map { Total($0.parentNode, in: $0.tensor) })
    return totals
  }

  /// The nodes that some tasks have gradients for, in the order in which they are first met.
  private static func nodes(of sums: Table<GradientSums>, _ tasks: Range<Int>) -> [Int32] {
    // All tasks mostly have the same nodes in the same order.
    var nodes: [Int32] = []
    for task in tasks {
      for (position, sum) in sums[task].sums.enumerated() where sum.chunks > 0 {
        let isNear = position < nodes.count && nodes[position] == sum.node
        if !isNear && !nodes.contains(sum.node) { nodes.append(sum.node) }
      }
    }
    return nodes
  }

  /// Whether the tasks that ran here have gradients for just those nodes.
  static func areFor(_ totals: [Total], _ sums: Table<GradientSums>, of tasks: ChunkTasks) -> Bool {
    var missing = tasks.ownTasks.reduce(0) { $0 + sums[$1].sums.count { $0.chunks > 0 } }
    for (position, total) in totals.enumerated() {
      let parts = tasks.ownTasks.count { sums[$0].part(of: total.parentNode, near: position) != nil }
      if parts == 0 { return false }
      missing -= parts
    }
    return missing == 0
  }

  /// Writes the totals of a run, over those of an earlier one.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``; what ranks throw.
  static func addUp(_ sums: Table<GradientSums>, from tasks: ChunkTasks, to totals: [Total]) throws {
    let team = tasks.workers.team
    guard tasks.ranks.count == 1 else {
      return try tasks.ranks.addUp(totals, team: team) { parts(of: $0, near: $1, in: sums, tasks) }
    }
    for (position, total) in totals.enumerated() {
      let parts = parts(of: total.parentNode, near: position, in: sums, tasks)
      coix_merge_double(parts, parts.count, total.address, total.count, Int32(team))
    }
  }

  /// The sums for a node of the tasks that ran here, in the tasks' order.
  private static func parts(
    of node: Int32, near position: Int, in sums: Table<GradientSums>, _ tasks: ChunkTasks
  ) -> [coix_part] {
    tasks.ownTasks.compactMap { sums[$0].part(of: node, near: position) }
  }

  /// This task's sums for a node, nil if the task has none. The node is looked for at `position` first.
  private func part(of node: Int32, near position: Int) -> coix_part? {
    let isNear = position < sums.count && sums[position].node == node
    guard let found = isNear ? position : self.position(of: node), sums[found].chunks > 0 else { return nil }
    let sum = sums[found]
    return coix_part(
      sums: sum.chunks > 1 ? sum.values.map { UnsafePointer($0.pointer) } : nil,
      numbers: UnsafePointer(sum.first.pointer))
  }
}

extension Table where Element == GradientSums {
  /// Forgets the gradients of all tasks.
  func clear() {
    for task in 0..<count { self[task].clear() }
  }
}
