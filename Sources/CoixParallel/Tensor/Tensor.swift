import CoixKernels

/// A block of `Float` numbers with event axes only.
///
/// A program is written for one particle: a tensor's ``shape`` is the event shape, and the plate supplies the
/// rows. A tensor is *uniform* (one value for all particles: parameters, constants) or *batched* over the
/// rows of the chunk that runs, where the rows of each element are stored next to each other. Outside of
/// programs tensors are uniform, row-major, and a particle axis is an axis like any other.
///
/// Operators don't throw: a shape error poisons the result, and the evaluation that it happened in throws it.
/// Outside of an evaluation, see ``failure``.
public struct Tensor: Sendable {
  var storage: Storage
  /// The event shape.
  public let shape: Shape
  /// The padded number of rows of the chunk; 0 for a uniform tensor. If the tensor varies over particles or
  /// over instances only, the padded number of the chunk's particles or instances.
  let stride: Int
  /// The context that a batched tensor belongs to, and the plates that it varies over:
  /// ``ExecutionContext/scope(of:)``.
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

  /// A tensor with undefined contents, batched like `other`; nil if there is no memory for it, which the
  /// evaluation then throws.
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

  /// The result of an operation if there is no memory for its output.
  static var outOfMemory: Tensor { Tensor(failure: Storage.lastRefusal) }

  /// A poisoned tensor whose error is not remembered for the evaluation yet, since the tensor may turn out
  /// not to be needed.
  package static func failed(_ failure: CoixError) -> Tensor {
    Tensor(storage: Storage(failure: failure), shape: .scalar)
  }

  /// A poisoned tensor: the error is remembered for the evaluation that runs.
  init(failure: CoixError) {
    ExecutionContext.remember(failure)
    self.init(storage: Storage(failure: failure), shape: .scalar)
  }

  // MARK: Properties

  /// The error that poisoned the tensor, or nil.
  public var failure: CoixError? { storage.failure }
  var isPoisoned: Bool { !storage.isPlain && storage.failure != nil }
  /// Whether the tensor has one value for each row of the running chunk.
  package var isBatched: Bool { stride > 0 }
  /// Whether the tensor is mapped over a whole plate: mapped data, or values from before a barrier. (Rows in
  /// a file are read through a mapping alone.)
  package var isMapped: Bool { !storage.isPlain && (storage.mapping != nil || storage.file != nil) }
  var pointer: UnsafeMutablePointer<Float> { storage.pointer }
  /// Elements that elementwise kernels run over: uniform buffers are padded to whole vectors.
  var bufferCount: Int {
    stride > 0
      ? shape.elementCount * stride
      : (shape.elementCount + Int(COIX_LANES) - 1) / Int(COIX_LANES) * Int(COIX_LANES)
  }
  /// The rows that loops run over: 1 for a uniform tensor.
  var rowCount: Int { Swift.max(stride, 1) }
  /// This tensor as the output of a node.
  func tracked(node: Int32, tape: UInt32) -> Tensor {
    Tensor(storage: storage, shape: shape, stride: stride, scope: scope, tape: tape, node: node)
  }

  /// The same numbers as a constant: no gradient flows through (`stop_gradient`).
  public var detached: Tensor { tracked(node: -1, tape: 0) }

  // MARK: Making tensors

  /// A tensor with the given numbers, row-major.
  ///
  /// Poisoned if their count is not the shape's number of elements.
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
    write { target in
      let copied: Void? = scalars.withContiguousStorageIfAvailable {
        if let source = $0.baseAddress { target.update(from: source, count: $0.count) }
      }
      guard copied == nil else { return }
      for (offset, scalar) in scalars.enumerated() { target[offset] = scalar }
    }
  }

  /// A vector.
  public init(_ scalars: [Float]) { self.init(scalars, shape: [scalars.count]) }

  /// The poisoned result for rows of a matrix that have different lengths; nil if they have not.
  static func refusal(forRowsOf lengths: [Int]) -> Tensor? {
    guard lengths.contains(where: { $0 != lengths[0] }) else { return nil }
    return Tensor(failure: .argument("Tensor: the rows of a matrix must be of one length, are of \(lengths)"))
  }

  /// A matrix, given by its rows. Poisoned if the rows have different lengths.
  @_disfavoredOverload
  public init(_ rows: [[Float]]) {
    let width = rows.first?.count ?? 0
    if let refusal = Self.refusal(forRowsOf: rows.map(\.count)) {
      self = refusal
      return
    }
    let shape: Shape = [rows.count, width]
    if let refusal = Self.refusal("Tensor", toMake: shape, rows: 1) {
      self = refusal
      return
    }
    guard let tensor = Tensor(undefined: shape) else {
      self = .outOfMemory
      return
    }
    self = tensor
    write { target in
      for (index, row) in rows.enumerated() {
        row.withUnsafeBufferPointer {
          if let source = $0.baseAddress { (target + index * width).update(from: source, count: width) }
        }
      }
    }
  }

  /// A single number.
  public init(_ scalar: Float) {
    guard let tensor = Tensor(undefined: .scalar) else {
      self = .outOfMemory
      return
    }
    self = tensor
    write { $0.pointee = scalar }
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
    coix_op_fill(pointer, scalar, bufferCount, ExecutionContext.team).run()
  }

  /// Zeros.
  public static func zeros(_ shape: Shape) -> Tensor { Tensor(repeating: 0, shape: shape) }
  /// Ones.
  public static func ones(_ shape: Shape) -> Tensor { Tensor(repeating: 1, shape: shape) }

  /// Writes the numbers of a tensor that nobody else has yet, by Swift code rather than an operation. To what
  /// records the chunk they are constants.
  func write(_ body: (UnsafeMutablePointer<Float>) -> Void) {
    body(pointer)
    ExecutionContext.withCurrent { context in
      let count = shape.elementCount * Swift.max(stride, 1)
      context?.recording?.noteConstant(pointer, bytes: count * MemoryLayout<Float>.stride)
    }
  }

  // MARK: Reading tensors

  /// The numbers of a tensor outside of programs, row-major.
  ///
  /// The result is NaNs where there are no numbers to be read: for a tensor that varies from particle to
  /// particle within a plate's program, and for data mapped over a plate. The evaluation then throws an error
  /// that says what to use instead. A poisoned tensor gives one NaN; see ``failure``. The result is empty if
  /// there is no memory for a copy; ``withScalars(_:)`` makes no copy.
  public var scalars: [Float] {
    guard Memory.canGive(Swift.max(shape.elementCount, 1), of: Float.self, for: "Tensor.scalars") else {
      return []
    }
    guard isReadable("scalars") else {
      return Array(repeating: .nan, count: Swift.max(shape.elementCount, 1))
    }
    return Array(UnsafeBufferPointer(start: pointer, count: shape.elementCount))
  }

  /// The number of a tensor with one element, outside of programs; NaN for any other. See ``scalars``.
  public var scalar: Float {
    isReadable("scalar") && shape.elementCount == 1 ? pointer.pointee : .nan
  }

  /// Calls `body` with the numbers of ``scalars``, without copying them if the tensor has numbers to be read.
  public func withScalars<Result>(_ body: (UnsafeBufferPointer<Float>) throws -> Result) rethrows -> Result {
    guard isReadable("withScalars") else { return try scalars.withUnsafeBufferPointer(body) }
    return try withExtendedLifetime(storage) {
      try body(UnsafeBufferPointer(start: pointer, count: shape.elementCount))
    }
  }

  /// Whether the tensor has numbers to be read, the same for all particles. If not, the evaluation that runs
  /// throws an error.
  private func isReadable(_ operation: @autoclosure () -> String) -> Bool {
    ExecutionContext.withCurrent { $0?.recording?.noteReading(pointer) }
    if storage.isPlain && stride == 0 { return true }
    if let failure = storage.failure {
      ExecutionContext.remember(failure)
      return false
    }
    guard isBatched || isMapped else {
      do throws(CoixError) {
        try takeAllRanksRows()
        return true
      } catch {
        ExecutionContext.remember(error)
        return false
      }
    }
    ExecutionContext.remember(
      .misplacedTensor(
        operation: operation(),
        reason:
          "in a program a tensor has a value for each particle, and no number that Swift could read or branch on; "
          + "compare with .< or .> and choose with select(condition, a, b); read numbers of the evaluation's result"
      ))
    return false
  }

  /// This tensor, if it is not poisoned.
  ///
  /// - Throws: the error that poisoned it.
  public func validated() throws -> Tensor {
    if let failure = storage.failure { throw failure }
    try takeAllRanksRows()
    return self
  }

  /// Brings the rows of other ranks here, if this is a whole tensor of which some are missing. All ranks do so.
  ///
  /// - Throws: as ``RankRows/complete()``.
  func takeAllRanksRows() throws(CoixError) { try rowsInParts?.complete() }

  /// The rows of ranks that a whole tensor lies in, where some are missing here.
  var rowsInParts: RankRows? {
    storage.isPlain || storage.mapping != nil ? nil : storage.rankRows?.ifInParts
  }
}

extension Tensor: ExpressibleByFloatLiteral, ExpressibleByIntegerLiteral, ExpressibleByArrayLiteral {
  public init(floatLiteral value: Float) { self.init(value) }
  public init(integerLiteral value: Int) { self.init(Float(value)) }
  /// A vector: `let x: Tensor = [1, 2, number]`. A matrix is `Tensor([[1, 2], [3, 4]])`, and
  /// `[[1, 2], [3, 4]].asTensor` works for any number of axes. Lists of lists are not literals, since then
  /// `-.infinity` could not be an element of a literal.
  public init(arrayLiteral scalars: Float...) { self.init(scalars) }
}

extension Tensor: CustomStringConvertible {
  public var description: String {
    if let failure { return "Tensor(failed: \(failure))" }
    ExecutionContext.current?.recording?.noteReading(pointer)
    if isMapped { return "Tensor(shape: \(shape), mapped over plate \"\(storage.mapping?.plate ?? "")\")" }
    let count = shape.elementCount
    func listed(_ total: Int, _ number: (Int) -> Float) -> String {
      "[" + (0..<Swift.min(total, 12)).map { "\(number($0).withoutSignOfNaN)" }.joined(separator: ", ")
        + (total > 12 ? ", …]" : "]")
    }
    guard isBatched else {
      return shape.rank == 0
        ? "\(scalar.withoutSignOfNaN)" : "Tensor(shape: \(shape), \(listed(count) { pointer[$0] }))"
    }
    guard let context = ExecutionContext.current, let axes = context.axes(of: self) else {
      return "Tensor(shape: \(shape), of another chunk or evaluation)"
    }
    let rows = context.chunk.count(along: axes)
    // The numbers of the chunk's first particles, one particle after the other.
    let numbers = listed(rows * count) {
      pointer[$0 % Swift.max(count, 1) * stride + $0 / Swift.max(count, 1)]
    }
    return "Tensor(shape: \(shape), for each of \(rows) particles: \(numbers))"
  }
}
