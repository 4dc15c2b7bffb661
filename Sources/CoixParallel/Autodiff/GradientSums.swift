import CoixKernels
import Synchronization

/// The gradients of the parent tape's uniform tensors, summed in double over the chunks of one task.
final class GradientSums: @unchecked Sendable {
  // @unchecked: one task writes it; it is read after the parallel region.

  private final class Sum {
    let node: Int32
    let shape: Shape
    let values: UnsafeMutableBufferPointer<Double>

    init(node: Int32, shape: Shape) {
      self.node = node
      self.shape = shape
      values = .allocate(capacity: shape.elementCount)
      values.initialize(repeating: 0)
    }
    deinit { values.deallocate() }
  }

  private var sums: [Sum] = []

  /// Adds what a chunk's leaves collected.
  func add(_ tape: Tape) {
    for leaf in tape.leaves {
      let node = tape.nodes[Int(leaf.node)]
      guard node.stride == 0, let gradient = node.gradient else { continue }
      let sum: Sum
      if let known = sums.first(where: { $0.node == leaf.parentNode }) {
        sum = known
      } else {
        sum = Sum(node: leaf.parentNode, shape: node.shape)
        sums.append(sum)
      }
      guard let values = sum.values.baseAddress else { continue }
      coix_accumulate_double(values, gradient.pointer, sum.values.count)
    }
  }

  /// Adds the sums of all tasks, in the tasks' order, to the parent's gradients.
  static func deliver(_ tasks: Table<GradientSums>, scaledBy factor: Float, to tape: Tape, team: Int) {
    var nodes: [Int32] = []
    var shapes: [Int32: Shape] = [:]
    var parts: [Int32: [UnsafePointer<Double>?]] = [:]
    for task in 0..<tasks.count {
      for sum in tasks[task].sums {
        if shapes[sum.node] == nil {
          nodes.append(sum.node)
          shapes[sum.node] = sum.shape
        }
        parts[sum.node, default: []].append(UnsafePointer(sum.values.baseAddress))
      }
    }
    for node in nodes.sorted() {
      guard let shape = shapes[node], let sums = parts[node] else { continue }
      let total = Tensor(undefined: shape)
      coix_merge_double(sums, sums.count, total.pointer, shape.elementCount, Int32(team))
      tape.add(factor == 1 ? total : total * Tensor(factor), to: node)
    }
  }
}

/// The gradients of the parent tape's tensors over a plate's rows: each chunk writes its own rows.
final class RowGradients: Sendable {
  private let rows: Int
  private let tensors = Mutex<[Int32: Tensor]>([:])

  init(rows: Int) { self.rows = rows }

  /// Stores what a chunk's leaves collected at the chunk's rows.
  func store(_ tape: Tape, _ context: ExecutionContext) {
    for leaf in tape.leaves {
      let node = tape.nodes[Int(leaf.node)]
      guard node.stride > 0, let gradient = node.gradient else { continue }
      let target = tensors.withLock { tensors -> Tensor in
        if let tensor = tensors[leaf.parentNode] { return tensor }
        // Chunks that don't read the tensor leave zeros.
        let tensor = Tensor.zeros(Shape([rows]).appending(node.shape))
        tensors[leaf.parentNode] = tensor
        return tensor
      }
      coix_store_rows(
        gradient.pointer, target.pointer, context.firstRow, context.rows, context.stride, node.shape.elementCount)
    }
  }

  /// Adds the gradients to the parent's.
  func deliver(to tape: Tape) {
    let collected = tensors.withLock { $0 }
    for node in collected.keys.sorted() {
      if let gradient = collected[node] { tape.add(gradient, to: node) }
    }
  }
}
