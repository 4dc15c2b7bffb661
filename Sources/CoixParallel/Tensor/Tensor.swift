import CoixKernels

/// A block of `Float` numbers with event axes only.
///
/// Within a program a tensor is written for one particle: its ``shape`` is the event shape, and the plate supplies the
/// rows. It is *uniform* (one value for all particles: parameters, constants) or *batched* over the rows of the chunk
/// that runs, stored particle-minor. Outside of programs tensors are uniform, row-major, and a particle axis is an axis like
/// any other.
///
/// Operators don't throw: a shape error poisons the result, and the evaluation that it happened in throws it. Outside of an
/// evaluation ``failure`` tells.
public struct Tensor: Sendable {
  var storage: Storage
  /// The event shape.
  public let shape: Shape
  /// Padded rows of the chunk, 0 for a uniform tensor. Of the chunk's particles or instances alone, if the tensor varies over no
  /// other plates.
  let stride: Int
  /// The context that a batched tensor belongs to, and the plates that it varies over: ``ExecutionContext/scope(of:)``.
  let scope: UInt32
  /// The tape that tracks the tensor, and its node there; -1 for a constant.
  let tape: UInt32
  let node: Int32

  init(storage: Storage, shape: Shape, stride: Int = 0, scope: UInt32 = 0, tape: UInt32 = 0, node: Int32 = -1)
  {
    self.storage = storage
    self.shape = shape
    self.stride = stride
    self.scope = scope
    self.tape = tape
    self.node = node
  }

  /// A tensor with undefined contents, batched like `other`; nil if there is no memory for it, which the evaluation then throws.
  @inline(__always)
  init?(undefined shape: Shape, like other: Tensor) {
    guard let storage = Storage(count: shape.elementCount * Swift.max(other.stride, 1)) else { return nil }
    self.init(storage: storage, shape: shape, stride: other.stride, scope: other.scope)
  }

  /// A uniform tensor with undefined contents; nil if there is no memory for it.
  init?(undefined shape: Shape) {
    guard let storage = Storage(count: shape.elementCount) else { return nil }
    self.init(storage: storage, shape: shape)
  }

  /// A batched tensor of the chunk that runs, with undefined contents; nil if there is no memory for it.
  init?(undefinedRows shape: Shape, in context: ExecutionContext, along axes: PlateAxes = .all) {
    let stride =
      axes == .all ? context.stride : ExecutionContext.paddedRows(context.chunk.count(along: axes))
    guard let storage = Storage(count: shape.elementCount * Swift.max(stride, 1)) else { return nil }
    self.init(storage: storage, shape: shape, stride: stride, scope: context.scope(of: axes))
  }

  /// What an operation returns for whose result there is no memory.
  static var outOfMemory: Tensor { Tensor(failure: Storage.lastRefusal) }

  /// A poisoned tensor whose error is nobody's yet: it may turn out that nobody wants the tensor.
  package static func failed(_ failure: CoixError) -> Tensor {
    Tensor(storage: Storage(failure: failure), shape: .scalar)
  }

  /// A poisoned tensor: the error is remembered for the evaluation that runs.
  init(failure: CoixError) {
    ExecutionContext.remember(failure)
    self.init(storage: Storage(failure: failure), shape: .scalar)
  }

  // MARK: What it is

  /// The error that poisoned the tensor, or nil.
  public var failure: CoixError? { storage.failure }
  var isPoisoned: Bool { !storage.isPlain && storage.failure != nil }
  /// Whether the tensor has one value for each row of the running chunk.
  package var isBatched: Bool { stride > 0 }
  /// Whether the tensor lives on a whole plate: mapped data, or values from before a barrier.
  package var isMapped: Bool { !storage.isPlain && storage.mapping != nil }
  var pointer: UnsafeMutablePointer<Float> { storage.pointer }
  /// Elements that elementwise kernels run over: uniform buffers are padded to whole vectors.
  var bufferCount: Int {
    stride > 0
      ? shape.elementCount * stride
      : (shape.elementCount + Int(COIX_LANES) - 1) / Int(COIX_LANES) * Int(COIX_LANES)
  }
  /// The rows that loops run over: 1 for a uniform tensor.
  var rowCount: Int { Swift.max(stride, 1) }
  /// OpenMP threads for an operation on this tensor.
  var team: Int {
    stride == 0 && shape.elementCount >= Limits.teamElements
      ? ExecutionContext.current?.team ?? Workers.standard.team : 1
  }

  /// This tensor as the output of a node.
  func tracked(node: Int32, tape: UInt32) -> Tensor {
    Tensor(storage: storage, shape: shape, stride: stride, scope: scope, tape: tape, node: node)
  }

  /// The same numbers as a constant: no gradient flows through (`stop_gradient`).
  public var detached: Tensor { tracked(node: -1, tape: 0) }

  // MARK: Making tensors

  /// A tensor with the given numbers, row-major.
  ///
  /// Poisoned if their count is not the shape's.
  public init(_ scalars: some Collection<Float>, shape: Shape) {
    guard shape.isValid, scalars.count == shape.elementCount else {
      self.init(
        failure: .shape(operation: "Tensor", shapes: [shape], reason: "\(scalars.count) numbers given"))
      return
    }
    guard let tensor = Tensor(undefined: shape) else {
      self = .outOfMemory
      return
    }
    self = tensor
    let copied: Void? = scalars.withContiguousStorageIfAvailable {
      if let source = $0.baseAddress { pointer.update(from: source, count: $0.count) }
    }
    guard copied == nil else { return }
    for (offset, scalar) in scalars.enumerated() { pointer[offset] = scalar }
  }

  /// A vector.
  public init(_ scalars: [Float]) { self.init(scalars, shape: [scalars.count]) }

  /// A single number.
  public init(_ scalar: Float) {
    guard let tensor = Tensor(undefined: .scalar) else {
      self = .outOfMemory
      return
    }
    self = tensor
    pointer.pointee = scalar
  }

  /// A tensor with the same number everywhere.
  public init(repeating scalar: Float, shape: Shape) {
    guard shape.isValid else {
      self.init(failure: .shape(operation: "Tensor", shapes: [shape], reason: "not a legal shape"))
      return
    }
    if let refusal = Self.refusal("Tensor", toMake: shape, rows: 1) {
      self = refusal
      return
    }
    guard let tensor = Tensor(undefined: shape) else {
      self = .outOfMemory
      return
    }
    self = tensor
    coix_fill(pointer, scalar, bufferCount, Int32(team))
  }

  /// Zeros.
  public static func zeros(_ shape: Shape) -> Tensor { Tensor(repeating: 0, shape: shape) }
  /// Ones.
  public static func ones(_ shape: Shape) -> Tensor { Tensor(repeating: 1, shape: shape) }

  // MARK: Reading tensors

  /// The numbers of a uniform tensor, row-major.
  ///
  /// Empty for a poisoned tensor and for one that is batched over the rows of a running chunk; see ``failure``.
  public var scalars: [Float] {
    guard !isPoisoned, !isBatched else { return [] }
    return Array(UnsafeBufferPointer(start: pointer, count: shape.elementCount))
  }

  /// The number of a uniform tensor with one element; NaN for any other.
  public var scalar: Float {
    !isPoisoned && !isBatched && shape.elementCount == 1 ? pointer.pointee : .nan
  }

  /// Calls `body` with the numbers of a uniform tensor, row-major, without copying them.
  public func withScalars<Result>(_ body: (UnsafeBufferPointer<Float>) throws -> Result) rethrows -> Result {
    let count = isPoisoned || isBatched ? 0 : shape.elementCount
    return try withExtendedLifetime(storage) { try body(UnsafeBufferPointer(start: pointer, count: count)) }
  }

  /// This tensor, if nothing went wrong on the way to it.
  ///
  /// - Throws: the error that poisoned it.
  public func validated() throws -> Tensor {
    if let failure = storage.failure { throw failure }
    return self
  }
}

extension Tensor: ExpressibleByFloatLiteral, ExpressibleByIntegerLiteral, ExpressibleByArrayLiteral {
  public init(floatLiteral value: Float) { self.init(value) }
  public init(integerLiteral value: Int) { self.init(Float(value)) }
  public init(arrayLiteral scalars: Float...) { self.init(scalars) }
}

extension Tensor: CustomStringConvertible {
  public var description: String {
    if let failure { return "Tensor(failed: \(failure))" }
    if isBatched { return "Tensor(shape: \(shape), batched)" }
    if shape.rank == 0 { return "\(scalar)" }
    let shown = scalars.prefix(12).map { "\($0)" }.joined(separator: ", ")
    return "Tensor(shape: \(shape), [\(shown)\(shape.elementCount > 12 ? ", …" : "")])"
  }
}
