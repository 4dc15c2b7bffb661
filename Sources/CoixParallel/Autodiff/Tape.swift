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
  /// How a node passes its gradient to its inputs: their nodes (-1 for a constant), and functions from the
  /// gradient of the output to those of the inputs. The functions change nothing and may be called again; what
  /// they compute with operators can itself be differentiated.
  enum Pullback {
    /// A leaf, or a node whose gradient somebody reads with ``gradient(of:)``.
    case none
    /// One input.
    case one(input: Int32, (Tensor) -> Tensor)
    /// The sum or the difference of two inputs: both get the gradient; the second input of a difference gets
    /// its negative.
    case sum(Int32, Int32, isDifference: Bool)
    /// Two inputs, each with a function of its own.
    case two(Int32, Int32, (Tensor) -> Tensor, (Tensor) -> Tensor)
    /// Three inputs: one function for the gradients of those that are wanted.
    case three(
      Int32, Int32, Int32,
      (_ gradient: Tensor, _ isWanted: (Bool, Bool, Bool)) -> (Tensor?, Tensor?, Tensor?))
    /// Any number of inputs, in the same way.
    case several([Int32], (_ gradient: Tensor, _ isWanted: [Bool]) -> [Tensor?])
    /// Runs when all later nodes are done, even if no gradient has reached the node.
    case always((Tape) throws -> Void)
  }

  struct Node {
    let shape: Shape
    let stride: Int
    var pullback: Pullback
    var gradient: Tensor?
    /// Whether it depends on nothing but points that are constants: see ``point(at:)``.
    let isOfConstants: Bool
  }

  /// A tensor of the parent tape, as it was read by this one.
  struct Leaf {
    let parentNode: Int32
    /// How the gradient of gathered rows is scattered back; nil if the tensor's rows were not gathered.
    let scatter: RowScatter?
    let node: Int32

    /// What identifies a leaf: a tape has at most one leaf of each name.
    struct Name: Hashable {
      let parentNode: Int32
      let index: ObjectIdentifier?
    }
    var name: Name { Name(parentNode: parentNode, index: scatter.map { ObjectIdentifier($0.index) }) }
  }

  private(set) var id: UInt32
  private var parentID: UInt32
  /// The nodes, in a buffer that the tape manages itself: nodes are appended and changed so often that a
  /// Swift array's checks would cost too much.
  private var nodes: UnsafeMutablePointer<Node>
  private var capacity: Int
  private static let firstCapacity = 64
  private(set) var count = 0
  private(set) var leaves: [Leaf] = []
  /// For each of the parent's first nodes, among them the parameters, the node of its leaf here; -1 if it has
  /// none.
  private var leafOfFirstNode: [Int32] = []
  /// The nodes of all other leaves: those of gathered rows, and those of the parent's later nodes, of which a
  /// program of many steps has very many.
  private var laterLeaves: [Leaf.Name: Int32] = [:]

  /// Whether a node is a point that is a constant.
  private var hasConstantPoints = false
  /// Where gradients are checked, the sites so far, and how many nodes there were after each.
  private var sites: [(name: String, end: Int)] = []
  /// The node whose gradient the backward pass takes further, where gradients are checked.
  private var sweptNode: Int?

  /// Nodes whose functions have been let go of, and what records them again; the last nodes last.
  private var forgotten: [(nodes: Range<Int>, recall: () throws -> Void)] = []
  /// While such nodes are recorded again, where they end; else -1.
  private var recalledEnd = -1

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

  /// Empties the tape and gives it a new identity.
  func reset(parent: Tape?) {
    nodes.deinitialize(count: count)
    count = 0
    leaves.removeAll(keepingCapacity: true)
    leafOfFirstNode.removeAll(keepingCapacity: true)
    laterLeaves.removeAll(keepingCapacity: true)
    hasConstantPoints = false
    sites.removeAll()
    sweptNode = nil
    forgotten.removeAll()
    recalledEnd = -1
    id = Self.lastID.wrappingAdd(1, ordering: .relaxed).newValue
    parentID = parent?.id ?? 0
  }

  /// A node's shape and its stride: the padded number of rows, 0 for a uniform tensor.
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

  /// The tape that records now, if at least one of the operands is tracked.
  @inline(__always)
  static func recording(_ first: Tensor, _ second: Tensor) -> Tape? {
    first.node >= 0 || second.node >= 0 ? ExecutionContext.current?.tape : nil
  }

  /// Whether any tape records now: also the backward pass, if its results are to be differentiated again.
  @inline(__always)
  static var isRecording: Bool { ExecutionContext.withCurrent { $0?.tape != nil } }

  /// The error for a tensor that was tracked by another tape.
  static let stale = CoixError.gradient(
    "a tensor of another gradient computation is used here; take its `detached` value")

  /// An operand's node on this tape: the operand's own, or that of the leaf it becomes; -1 if it is a
  /// constant.
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

  /// Adds a node and returns its number. If there is no memory for the node, returns -1; the evaluation then
  /// throws the error.
  func append(shape: Shape, stride: Int, _ pullback: Pullback) -> Int32 {
    if recalledEnd >= 0 { return appendAgain(shape, stride, pullback) }
    if count == capacity && !grow() { return -1 }
    let isOfConstants = hasConstantPoints && pullback.isFunction && !pullback.hasInput(where: isWanted)
    (nodes + count).initialize(
      to: Node(
        shape: shape, stride: stride, pullback: pullback, gradient: nil, isOfConstants: isOfConstants))
    count += 1
    return Int32(count - 1)
  }

  // MARK: Forgetting

  /// Runs `body`, and removes all that it has recorded. The tape is a caller's, and so has no leaves.
  func withoutTrace<Result>(_ body: () throws -> Result) rethrows -> Result {
    let (end, hadConstantPoints) = (count, hasConstantPoints)
    defer {
      forgotten.removeAll { $0.nodes.lowerBound >= end }
      sites.removeAll { $0.end > end }
      (nodes + end).deinitialize(count: count - end)
      (count, hasConstantPoints) = (end, hadConstantPoints)
    }
    return try body()
  }

  /// Whether nodes from some number on have been let go of.
  func hasForgotten(from first: Int32) -> Bool { (forgotten.last?.nodes.upperBound ?? 0) > Int(first) }

  /// Lets go of the functions of all nodes from some number on, and so of what these refer to. The nodes keep their
  /// numbers.
  ///
  /// - Parameter recall: appends the same nodes once more, when the backward pass comes to them.
  func forget(from first: Int32, _ recall: @escaping () throws -> Void) {
    guard first < count else { return }
    for node in Int(first)..<count { nodes[node].pullback = .none }
    forgotten.append((Int(first)..<count, recall))
  }

  /// Has the last forgotten nodes recorded again, on this tape, while its backward pass stands at their end.
  private func recall(_ part: (nodes: Range<Int>, recall: () throws -> Void)) throws {
    let (all, context) = (count, ExecutionContext.current)
    (count, recalledEnd) = (part.nodes.lowerBound, part.nodes.upperBound)
    context?.tape = self
    defer {
      (count, recalledEnd) = (all, -1)
      context?.tape = nil
    }
    try part.recall()
    try context?.throwFailure()
    guard count == recalledEnd else { throw Self.otherSteps }
  }

  /// The error of a program whose steps or chunks are computed again, and come out otherwise.
  static let otherSteps = CoixError.gradient(
    "a program has done something else when its steps were computed again; its closures must be pure")

  /// Puts the function of a node that was forgotten back into its place.
  private func appendAgain(_ shape: Shape, _ stride: Int, _ pullback: Pullback) -> Int32 {
    guard count < recalledEnd, nodes[count].shape == shape, nodes[count].stride == stride else {
      ExecutionContext.remember(Self.otherSteps)
      return -1
    }
    nodes[count].pullback = pullback
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

  /// How a node passes its gradient on.
  func pullback(of node: Int) -> Pullback { nodes[node].pullback }

  /// A tensor as a point that gradients are taken at: with a node of its own. Where the tensor is a constant,
  /// the backward pass leaves that node out, and what depends on nothing else.
  func point(at tensor: Tensor) -> Tensor {
    let input = node(of: tensor)
    if input < 0 { hasConstantPoints = true }
    return record(tensor, .one(input: input) { $0 })
  }

  /// Whether the backward pass needs an input's gradient.
  private func isWanted(_ input: Int32) -> Bool { input >= 0 && !nodes[Int(input)].isOfConstants }

  /// `tensor` as the output of the node that is appended next, for use in that node's own pullback.
  func upcoming(_ tensor: Tensor) -> Tensor { tensor.tracked(node: Int32(count), tape: id) }

  /// `tensor` as the output of a new node.
  func record(_ tensor: Tensor, _ pullback: Pullback) -> Tensor {
    tensor.tracked(node: append(shape: tensor.shape, stride: tensor.stride, pullback), tape: id)
  }

  /// Adds to a node's gradient. If the node's tensor was broadcast, `gradient` is first summed to the node's
  /// shape.
  func add(_ gradient: consuming Tensor, to node: Int32) {
    guard isWanted(node) else { return }
    let node = nodes + Int(node)
    if gradient.shape != node.pointee.shape || (gradient.stride != 0 && node.pointee.stride == 0) {
      gradient = gradient.summed(to: node.pointee.shape, stride: node.pointee.stride)
    }
    // A poisoned gradient is dropped; the evaluation throws its error.
    guard !gradient.isPoisoned else { return }
    if sweptNode != nil { check(gradient) }
    guard var sum = node.pointee.gradient.take() else {
      node.pointee.gradient = consume gradient
      return
    }
    if let own = Tensor.sumOfOwnRows(sum, gradient) {
      sum = own
    } else if sum.storage.isPlain, isKnownUniquelyReferenced(&sum.storage) {
      withExtendedLifetime(gradient) {
        coix_op_accumulate(sum.pointer, gradient.pointer, sum.bufferCount, ExecutionContext.team).run()
      }
    } else {
      sum = sum + gradient
    }
    node.pointee.gradient = consume sum
  }

  /// Notes that a site has been recorded. In the backward pass of a tape with sites, a gradient that is no longer
  /// finite is an error at the site on whose way that happens.
  func noteSite(_ name: String) {
    // What is recorded again has its sites already.
    if recalledEnd < 0 { sites.append((name, count)) }
  }

  /// Remembers an error if a gradient that the backward pass has computed is the first that is not finite.
  private func check(_ gradient: Tensor) {
    guard let node = sweptNode, let (row, value) = gradient.firstRow(where: { !$0.isFinite }) else { return }
    sweptNode = nil
    let error = CoixError.gradient(
      "the way back makes it \(value) here\(gradient.isBatched ? " (row \(row))" : ""), since the slope of an operator "
        + "in the density or in what leads to it is not finite")
    let site = sites.first { node < $0.end }?.name
    ExecutionContext.remember(site.map { .atSite(name: $0, error: error) } ?? error)
  }

  /// The gradient that has reached a node so far; nil if there is none.
  func gradient(of node: Int32) -> Tensor? {
    node >= 0 ? nodes[Int(node)].gradient : nil
  }

  /// Takes the gradient that has reached a node, which nobody else reads.
  func takeGradient(of node: Int32) -> Tensor? { node >= 0 ? nodes[Int(node)].gradient.take() : nil }

  /// The gradients that have reached the parent's uniform tensors, in the order in which this tape first read
  /// them.
  var uniformGradients: [(parentNode: Int32, tensor: Tensor)] {
    leaves.compactMap { leaf in
      guard let gradient = gradient(of: leaf.node), !gradient.isBatched else { return nil }
      return (leaf.parentNode, gradient)
    }
  }

  /// Runs the backward pass, from the last node to the first. Nothing is recorded meanwhile.
  func pullBack() throws {
    let context = ExecutionContext.current
    let recording = context?.tape
    context?.tape = nil
    defer { context?.tape = recording }
    // Nodes that have been recorded again. Nobody reads their gradients but nodes among them.
    var recalled: Range<Int>?
    for index in stride(from: count - 1, through: 0, by: -1) {
      if let part = forgotten.last, part.nodes.upperBound == index + 1 {
        forgotten.removeLast()
        try recall(part)
        recalled = part.nodes
      }
      defer {
        if let part = recalled, part.lowerBound == index {
          for node in part { nodes[node].gradient = nil }
        }
      }
      let node = nodes + index
      if case .none = node.pointee.pullback { continue }
      let pullback = exchange(&node.pointee.pullback, with: .none)
      if case .always(let body) = pullback {
        try body(self)
        continue
      }
      guard let gradient = node.pointee.gradient.take() else { continue }
      try gradient.takeAllRanksRows()
      if !sites.isEmpty { sweptNode = gradient.firstRow { !$0.isFinite } == nil ? index : nil }
      switch pullback {
      case .one(let input, let body): add(body(gradient), to: input)
      case .sum(let first, let second, let isDifference):
        add(gradient, to: first)
        if isWanted(second) { add(isDifference ? -gradient : gradient, to: second) }
      case .two(let first, let second, let firstBody, let secondBody):
        if isWanted(first) { add(firstBody(gradient), to: first) }
        if isWanted(second) { add(secondBody(gradient), to: second) }
      case .three(let first, let second, let third, let body):
        let gradients = body(gradient, (isWanted(first), isWanted(second), isWanted(third)))
        if let gradient = gradients.0 { add(gradient, to: first) }
        if let gradient = gradients.1 { add(gradient, to: second) }
        if let gradient = gradients.2 { add(gradient, to: third) }
      case .several(let inputs, let body):
        let gradients = body(gradient, inputs.map(isWanted))
        for (input, gradient) in zip(inputs, gradients) { if let gradient { add(gradient, to: input) } }
      case .none, .always: break
      }
    }
  }
}

extension Tape.Pullback {
  /// Whether it is a function of the node's gradient.
  var isFunction: Bool {
    switch self {
    case .none, .always: false
    case .one, .sum, .two, .three, .several: true
    }
  }

  /// Whether a condition holds for an input.
  func hasInput(where condition: (Int32) -> Bool) -> Bool {
    switch self {
    case .none, .always: false
    case .one(let input, _): condition(input)
    case .sum(let a, let b, _), .two(let a, let b, _, _): condition(a) || condition(b)
    case .three(let a, let b, let c, _): condition(a) || condition(b) || condition(c)
    case .several(let inputs, _): inputs.contains(where: condition)
    }
  }
}
