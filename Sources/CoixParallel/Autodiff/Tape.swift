import CoixKernels
import Foundation
import Synchronization

/// A define-by-run record of operations, and the gradients that flow back through it.
///
/// One tape belongs to one chunk, or to the caller within ``valueWithGradient(at:_:)``. A chunk's tape has
/// the caller's as parent: a tensor that is tracked there (a parameter, a value from before a barrier)
/// becomes a leaf here when an operation first reads it, and its gradient is collected from ``leaves`` after
/// the backward pass.
final class Tape {
  /// How a node hands its gradient on.
  enum Pullback {
    /// A leaf, or a node whose gradient somebody reads with ``gradient(of:)``.
    case none
    /// One input: the gradient of the output to that of the input.
    case one(input: Int32, (Tensor) -> Tensor)
    /// A sum of two inputs, or their difference: both get the gradient, the second one its negative.
    case sum(Int32, Int32, isDifference: Bool)
    /// Several: adds to the tape itself.
    case many((Tensor, Tape) -> Void)
    /// Runs when all later nodes are done, also without a gradient of its own.
    case always((Tape) throws -> Void)
  }

  struct Node {
    let shape: Shape
    let stride: Int
    var pullback: Pullback
    var gradient: Tensor?
  }

  /// A tensor of the parent tape, as it was read by this one.
  struct Leaf {
    let parentNode: Int32
    /// How its rows were gathered, if they were.
    let scatter: RowScatter?
    let node: Int32

    /// Leaves of the same name are one.
    struct Name: Hashable {
      let parentNode: Int32
      let index: ObjectIdentifier?
    }
    var name: Name { Name(parentNode: parentNode, index: scatter.map { ObjectIdentifier($0.index) }) }
  }

  private(set) var id: UInt32
  private var parentID: UInt32
  /// The nodes, in a buffer of the tape's own: they are appended and changed in place too often for an
  /// array's checks.
  private var nodes: UnsafeMutablePointer<Node>
  private var capacity: Int
  private static let firstCapacity = 64
  private(set) var count = 0
  private(set) var leaves: [Leaf] = []
  /// The leaf of each of the parent's first nodes, which parameters are; -1 where it has none.
  private var leafOfFirstNode: [Int32] = []
  /// The leaves of later nodes, of which a program of many steps has very many, and of gathered rows.
  private var laterLeaves: [Leaf.Name: Int32] = [:]

  private static let lastID = Atomic<UInt32>(0)

  init(parent: Tape? = nil) {
    id = Self.lastID.wrappingAdd(1, ordering: .relaxed).newValue
    parentID = parent?.id ?? 0
    capacity = Self.firstCapacity
    nodes = .allocate(capacity: capacity)
  }

  deinit {
    nodes.deinitialize(count: count)
    freeNodes()
  }

  /// Makes the tape an empty one again, with an identity of its own.
  func reset(parent: Tape?) {
    nodes.deinitialize(count: count)
    count = 0
    leaves.removeAll(keepingCapacity: true)
    leafOfFirstNode.removeAll(keepingCapacity: true)
    laterLeaves.removeAll(keepingCapacity: true)
    id = Self.lastID.wrappingAdd(1, ordering: .relaxed).newValue
    parentID = parent?.id ?? 0
  }

  /// A node's shape and padded rows.
  func form(of node: Int32) -> (shape: Shape, stride: Int) {
    let node = nodes + Int(node)
    return (node.pointee.shape, node.pointee.stride)
  }

  private func exchange(_ pullback: inout Pullback, with other: Pullback) -> Pullback {
    var other = other
    swap(&pullback, &other)
    return other
  }

  /// The tape that records now, if the operand is tracked.
  @inline(__always)
  static func recording(_ tensor: Tensor) -> Tape? {
    tensor.node >= 0 ? ExecutionContext.current?.tape : nil
  }

  /// The same for two operands.
  @inline(__always)
  static func recording(_ first: Tensor, _ second: Tensor) -> Tape? {
    first.node >= 0 || second.node >= 0 ? ExecutionContext.current?.tape : nil
  }

  /// What is said of a tensor that was tracked by another tape.
  static let stale = CoixError.gradient(
    "a tensor of another gradient computation is used here; take its `detached` value")

  /// The node of an operand: its own, or the leaf it becomes; -1 if it is a constant here.
  func node(of tensor: Tensor) -> Int32 {
    if tensor.node < 0 { return -1 }
    if tensor.tape == id { return tensor.node }
    guard tensor.tape == parentID else {
      ExecutionContext.remember(Self.stale)
      return -1
    }
    return leaf(forParentNode: tensor.node, shape: tensor.shape, stride: tensor.stride)
  }

  /// The leaf for a node of the parent, or for rows gathered from it.
  func leaf(forParentNode parent: Int32, scatter: RowScatter? = nil, shape: Shape, stride: Int) -> Int32 {
    func makeLeaf() -> Leaf {
      let leaf = Leaf(
        parentNode: parent, scatter: scatter, node: append(shape: shape, stride: stride, .none))
      leaves.append(leaf)
      return leaf
    }
    let index = Int(parent)
    guard index < Limits.directLeaves, scatter == nil else {
      let name = Leaf.Name(parentNode: parent, index: scatter.map { ObjectIdentifier($0.index) })
      if let node = laterLeaves[name] { return node }
      let leaf = makeLeaf()
      laterLeaves[name] = leaf.node
      return leaf.node
    }
    if index >= leafOfFirstNode.count {
      leafOfFirstNode.append(contentsOf: repeatElement(-1, count: index + 1 - leafOfFirstNode.count))
    }
    if leafOfFirstNode[index] < 0 { leafOfFirstNode[index] = makeLeaf().node }
    return leafOfFirstNode[index]
  }

  /// Adds a node and returns its number; without memory for it -1, and the error is the evaluation's.
  func append(shape: Shape, stride: Int, _ pullback: Pullback) -> Int32 {
    if count == capacity && !grow() { return -1 }
    (nodes + count).initialize(to: Node(shape: shape, stride: stride, pullback: pullback, gradient: nil))
    count += 1
    return Int32(count - 1)
  }

  private func freeNodes() {
    if capacity == Self.firstCapacity { nodes.deallocate() } else { free(nodes) }
  }

  private func grow() -> Bool {
    let bytes = 2 * capacity * MemoryLayout<Node>.stride
    guard count < Int32.max / 2, let buffer = Memory.buffer(bytes: bytes) else {
      ExecutionContext.remember(.memory(what: "a tape of \(count) operations", bytes: bytes))
      return false
    }
    let larger = buffer.bindMemory(to: Node.self, capacity: 2 * capacity)
    larger.moveInitialize(from: nodes, count: count)
    freeNodes()
    nodes = larger
    capacity *= 2
    return true
  }

  /// `tensor` as the output of a new node.
  func record(_ tensor: Tensor, _ pullback: Pullback) -> Tensor {
    tensor.tracked(node: append(shape: tensor.shape, stride: tensor.stride, pullback), tape: id)
  }

  /// Adds to a node's gradient; what was broadcast from the node's shape is summed first.
  func add(_ gradient: consuming Tensor, to node: Int32) {
    guard node >= 0 else { return }
    let node = nodes + Int(node)
    if gradient.shape != node.pointee.shape || (gradient.stride != 0 && node.pointee.stride == 0) {
      gradient = gradient.summed(to: node.pointee.shape, stride: node.pointee.stride)
    }
    // What cannot be computed goes no further: its error is the evaluation's.
    guard !gradient.isPoisoned else { return }
    guard var sum = node.pointee.gradient.take() else {
      node.pointee.gradient = consume gradient
      return
    }
    if sum.storage.isPlain, isKnownUniquelyReferenced(&sum.storage) {
      coix_accumulate(sum.pointer, gradient.pointer, sum.bufferCount, Int32(sum.team))
    } else {
      sum = sum + gradient
    }
    node.pointee.gradient = consume sum
  }

  /// The gradient that has reached a node.
  func gradient(of node: Int32) -> Tensor? {
    node >= 0 ? nodes[Int(node)].gradient : nil
  }

  /// Pulls all gradients back, last node first. Nothing is recorded meanwhile.
  func pullBack() throws {
    let context = ExecutionContext.current
    let recording = context?.tape
    context?.tape = nil
    defer { context?.tape = recording }
    for index in stride(from: count - 1, through: 0, by: -1) {
      let node = nodes + index
      if case .none = node.pointee.pullback { continue }
      let pullback = exchange(&node.pointee.pullback, with: .none)
      if case .always(let body) = pullback {
        try body(self)
        continue
      }
      guard let gradient = node.pointee.gradient.take() else { continue }
      switch pullback {
      case .one(let input, let body): add(body(gradient), to: input)
      case .sum(let first, let second, let isDifference):
        add(gradient, to: first)
        if second >= 0 { add(isDifference ? -gradient : gradient, to: second) }
      case .many(let body): body(gradient, self)
      case .none, .always: break
      }
    }
  }
}
