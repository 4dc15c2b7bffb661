import CoixKernels

/// A draw to be made: its key, its shape, and where its elements lie in the sequence that the key gives.
///
/// Element (row, e) has index row · rowStride + Σ e_a · strides[a]. Row-major order over `[rows, event...]`
/// is the rule; distributions that were expanded over inner axes or plates follow NumPyro's order instead.
public struct Draw: Sendable {
  /// The key.
  public let key: PRNGKey
  /// The event shape to be filled.
  public let shape: Shape
  /// The index step along each axis of the shape.
  public let strides: [Int]
  /// The index step from row to row; in nested plates, from instance to instance.
  public let rowStride: Int
  /// The index step from particle to particle in nested plates; nil if particles follow one after another,
  /// with all their instances.
  package let particleStride: Int?
  /// Whether the draw is for a site within a local plate; the order of expanded axes depends on it.
  package let isLocal: Bool
  /// The index of the first element.
  private let offset: Int

  /// A draw in row-major order.
  public init(key: PRNGKey, shape: Shape) { self.init(key: key, shape: shape, isLocal: false) }

  package init(key: PRNGKey, shape: Shape, isLocal: Bool) {
    let (strides, rowStride) = Self.rowMajor(shape)
    self.init(key: key, shape: shape, strides: strides, rowStride: rowStride, isLocal: isLocal)
  }

  private static func rowMajor(_ shape: Shape) -> (strides: [Int], rowStride: Int) {
    var strides = [Int](repeating: 1, count: shape.rank)
    var step = 1
    for axis in shape.indices.reversed() {
      strides[axis] = step
      step *= shape[axis]
    }
    return (strides, step)
  }

  /// A draw in another order, with an index step for each axis of the shape. With another number of steps the
  /// draw has no numbers: filling it is an error.
  public init(key: PRNGKey, shape: Shape, strides: [Int], rowStride: Int) {
    self.init(key: key, shape: shape, strides: strides, rowStride: rowStride, isLocal: false)
  }

  package init(
    key: PRNGKey, shape: Shape, strides: [Int], rowStride: Int, particleStride: Int? = nil, isLocal: Bool,
    offset: Int = 0
  ) {
    self.key = key
    self.shape = shape
    self.strides = strides
    self.rowStride = rowStride
    self.particleStride = particleStride
    self.isLocal = isLocal
    self.offset = offset
  }

  /// A site's draw, in row-major order with one exception: where the parameters vary over particles only, the
  /// draw has NumPyro's order, which is all particles of the first instance, then all particles of the next
  /// one.
  package init(key: PRNGKey, shape: Shape, forParameters parameters: @autoclosure () -> [Tensor]) {
    let plate = ExecutionContext.current?.plate
    guard let plate, plate.isNested, PlateAxes(of: parameters()) == .particles else {
      self.init(key: key, shape: shape)
      return
    }
    let (strides, step) = Self.rowMajor(shape)
    self.init(
      key: key, shape: shape, strides: strides, rowStride: plate.particles * step, particleStride: step,
      isLocal: false)
  }

  /// A draw of another shape, with the given strides or else in row-major order, that keeps this draw's order
  /// of the plates.
  package func ordered(
    _ shape: Shape, strides: [Int]? = nil, rowStride: Int? = nil, isLocal: Bool? = nil
  ) -> Draw {
    let natural = Self.rowMajor(shape)
    let (strides, step) = (strides ?? natural.strides, rowStride ?? natural.rowStride)
    let isLocal = isLocal ?? self.isLocal
    let particles = ExecutionContext.current?.plate.particles ?? 1
    return particleStride == nil
      ? Draw(key: key, shape: shape, strides: strides, rowStride: step, isLocal: isLocal)
      : Draw(
        key: key, shape: shape, strides: strides, rowStride: particles * step, particleStride: step,
        isLocal: isLocal)
  }

  /// The same draw with an inner axis of `size`, whose elements follow each other.
  public func appendingAxis(_ size: Int) -> Draw {
    Draw(
      key: key, shape: shape.appending([size]), strides: strides.map { $0 &* size } + [1],
      rowStride: rowStride &* size, particleStride: particleStride.map { $0 &* size }, isLocal: isLocal,
      offset: offset &* size)
  }

  /// The same draw with other inner axes in place of its last `count` axes, which must be the ones that vary
  /// fastest.
  public func replacingAxes(last count: Int, with inner: Shape) -> Draw {
    let kept = shape.rank - max(0, min(count, shape.rank))
    let (old, new) = (shape.product(kept..<shape.rank), inner.elementCount)
    let newShape = Shape(shape.prefix(kept)).appending(inner)
    // Without elements there are no places to keep.
    guard old > 0, inner.isValid, newShape.isValid else { return Draw(key: key, shape: newShape) }
    return Draw(
      key: key, shape: newShape,
      strides: strides.prefix(kept).map { $0 / old &* new } + Draw(key: key, shape: inner).strides,
      rowStride: rowStride / old &* new, particleStride: particleStride.map { $0 / old &* new },
      isLocal: isLocal, offset: offset / old &* new)
  }

  /// `count` such draws along a new first axis. In the key's sequence, each draw is complete, for the whole
  /// plate, before the next one starts.
  public func repeated(_ count: Int) -> Draw { repeated(0..<max(count, 0)) }

  /// Some of the repeated draws, given by their numbers from 0. They have the same random numbers as they
  /// have among all of them.
  public func repeated(_ numbers: Range<Int>) -> Draw {
    let (count, overflow) = numbers.upperBound.subtractingReportingOverflow(numbers.lowerBound)
    let step = max(ExecutionContext.current?.plate.count ?? 1, 1) &* max(shape.elementCount, 0)
    return Draw(
      key: key, shape: Shape([overflow ? .max : count]).appending(shape), strides: [step] + strides,
      rowStride: rowStride, particleStride: particleStride, isLocal: isLocal,
      offset: offset &+ step &* numbers.lowerBound)
  }

  /// The same shape and order with another key.
  public func with(key: PRNGKey) -> Draw {
    Draw(
      key: key, shape: shape, strides: strides, rowStride: rowStride, particleStride: particleStride,
      isLocal: isLocal, offset: offset)
  }

  /// Numbers uniform in [low, high).
  public func uniform(low: Float = 0, high: Float = 1) -> Tensor {
    filled { coix_op_draw_uniform(key.source, $0, low, high, $1, ExecutionContext.team) }
  }

  /// Standard normal numbers.
  public func normal() -> Tensor {
    filled { coix_op_draw_normal(key.source, $0, $1, ExecutionContext.team) }
  }

  /// Standard Gumbel numbers.
  public func gumbel() -> Tensor {
    filled { coix_op_draw_gumbel(key.source, $0, $1, ExecutionContext.team) }
  }

  /// location + scale · noise, with standard normal noise, in one pass. A result that is too large for a
  /// float becomes the nearest finite number. Gradients flow to both parameters.
  public func normal(location: Tensor, scale: Tensor) -> Tensor {
    let name = "Normal.sample"
    if let refusal = location.refusal(name) ?? scale.refusal(name) { return refusal }
    if location.lacksRows || scale.lacksRows {
      return normal(location: location.inAllRows, scale: scale.inAllRows)
    }
    func fits(_ operand: Tensor) -> Bool { operand.shape == shape || operand.shape.elementCount == 1 }
    if let refusal { return refusal }
    guard fits(location), fits(scale), let runs, runs.count == 1 else {
      return (location + scale * normal())
        .clamped(to: -.greatestFiniteMagnitude ... .greatestFiniteMagnitude)
    }
    guard let result = makeResult() else { return .outOfMemory }
    let noise = Tape.recording(scale) == nil ? nil : makeResult()
    let (mean, deviation) = (operand(location, at: 0), operand(scale, at: 0))
    coix_op_draw_normal_affine(
      key.source, order(of: runs[0]), mean.pointer, mean.elementStride, mean.rowStride, deviation.pointer,
      deviation.elementStride, deviation.rowStride, noise?.pointer, result.pointer, ExecutionContext.team
    ).run()
    guard let noise else { return result.recorded(from: location) { $0 } }
    return result.recorded(from: location, scale, { $0 }, { $0 * noise })
  }

  /// A whole number, uniform in a range, for every element, in row-major order of the shape; JAX's `randint`.
  public func integers(in range: Range<Int32>) -> [Int32] {
    words(Int32.self) {
      coix_draw_randint(key.source.words, $0, range.lowerBound, range.upperBound, $1, ExecutionContext.team)
    }
  }

  /// Writes the numbers of ``integers(in:)`` to `target`, which must have room for all of them. Only for
  /// draws with one axis.
  func fill(_ target: UnsafeMutablePointer<Int32>, withIntegersIn range: Range<Int32>) {
    let run = Run(offset: 0, count: shape.elementCount, step: strides.first ?? 1)
    guard run.count > 0 else { return }
    let order = coix_draw_order(
      kind: 0, elements: run.count, row_stride: run.step, particle_stride: 0, element_stride: 0,
      offset: run.offset)
    coix_op_draw_randint(key.source, order, range.lowerBound, range.upperBound, target, ExecutionContext.team)
      .run()
  }

  /// 32 random bits for every element, in row-major order of the shape.
  public func bits() -> [UInt32] {
    words(UInt32.self) { coix_draw_bits(key.source.words, $0, $1, ExecutionContext.team) }
  }

  private func words<Word: FixedWidthInteger>(
    _ type: Word.Type, _ fill: (coix_draw, UnsafeMutablePointer<Word>) -> Void
  ) -> [Word] {
    // If there is no memory for the numbers, the result is empty, and the evaluation throws the error.
    guard Tensor.refusal("Draw", toMake: shape, rows: 1) == nil,
      Memory.canGive(shape.elementCount, of: Word.self, for: "Draw")
    else { return [] }
    guard let runs else {
      _ = mismatch
      return []
    }
    if let address = key.address { ExecutionContext.current?.recording?.noteReading(address) }
    var result = [Word](repeating: 0, count: shape.elementCount)
    result.withUnsafeMutableBufferPointer { buffer in
      guard var next = buffer.baseAddress else { return }
      for run in runs where run.count > 0 {
        fill(uniformPlace(run), next)
        next += run.count
      }
    }
    return result
  }

  // MARK: Filling

  /// Elements whose indices follow each other with the same step.
  private struct Run {
    let offset: Int
    let count: Int
    let step: Int
  }

  /// The draw cut into runs, in row-major order of the shape; nil if the shape isn't valid, or if there isn't
  /// a stride for each axis.
  private var runs: [Run]? {
    guard shape.isValid, strides.count == shape.rank else { return nil }
    // Inner axes whose strides continue each other are merged into one run.
    var axis = shape.rank
    var count = 1
    var step = 1
    while axis > 0 {
      if count == 1 {
        step = strides[axis - 1]
      } else if shape[axis - 1] != 1 && strides[axis - 1] != step &* count {
        break
      }
      count *= shape[axis - 1]
      axis -= 1
    }
    var offsets = [offset]
    for outer in 0..<axis {
      offsets = offsets.flatMap { offset in (0..<shape[outer]).map { offset &+ $0 &* strides[outer] } }
    }
    return offsets.map { Run(offset: $0, count: count, step: step) }
  }

  /// The poisoned result of a draw that has no runs.
  private var mismatch: Tensor {
    Tensor.mismatch("Draw", [shape], "not a legal shape, or one with other axes than strides")
  }

  /// Where a run's elements lie in the key's sequence, for the rows of the running chunk or outside of plates.
  private func order(of run: Run) -> coix_draw_order {
    let isNested = isInRows && particleStride != nil
    return coix_draw_order(
      kind: isNested ? 2 : isInRows ? 1 : 0, elements: run.count, row_stride: isInRows ? rowStride : run.step,
      particle_stride: particleStride ?? 0, element_stride: run.step, offset: run.offset)
  }

  /// A run's place outside of a plate: its elements take the role of rows, and so fill the vector lanes.
  private func uniformPlace(_ run: Run) -> coix_draw {
    coix_draw(
      first_row: 0, valid_rows: UInt64(run.count), rows: UInt64(run.count), elements: 1,
      row_stride: UInt64(truncatingIfNeeded: run.step),
      element_stride: 0, offset: UInt64(truncatingIfNeeded: run.offset), row_numbers: nil)
  }

  /// How a parameter lies in memory, for a kernel that fills a run.
  struct Operand {
    let pointer: UnsafePointer<Float>
    let elementStride: Int
    let rowStride: Int
  }

  /// A parameter of the draw's shape, or with one element, for the run whose first element is number
  /// `element`.
  func operand(_ tensor: Tensor, at element: Int) -> Operand {
    let step = tensor.shape.elementCount == 1 ? 0 : tensor.rowCount
    let pointer = UnsafePointer(tensor.pointer + element * step)
    return isInRows
      ? Operand(pointer: pointer, elementStride: step, rowStride: tensor.isBatched ? 1 : 0)
      : Operand(pointer: pointer, elementStride: 0, rowStride: step)
  }

  /// Whether the draw fills the rows of a chunk.
  private var isInRows: Bool { ExecutionContext.current?.stride ?? 0 > 0 }

  /// The poisoned result of a draw that would not fit into memory; nil for one that does.
  private var refusal: Tensor? {
    guard shape.isValid else { return nil }
    return Tensor.refusal("Draw", toMake: shape, rows: max(ExecutionContext.current?.stride ?? 0, 1))
  }

  /// Batched over the chunk's rows, or uniform outside of a plate.
  private func makeResult() -> Tensor? {
    guard let context = ExecutionContext.current, context.stride > 0 else { return Tensor(undefined: shape) }
    return Tensor(undefinedRows: shape, in: context)
  }

  /// A tensor of zeros, batched over the chunk's rows as a draw is.
  func zeros() -> Tensor {
    let rows = Swift.max(ExecutionContext.current?.stride ?? 0, 1)
    return filledRuns { order, _, target in coix_op_fill(target, 0, order.elements * rows, 1) }
  }

  private func filled(_ fill: (coix_draw_order, UnsafeMutablePointer<Float>) -> Operation) -> Tensor {
    filledRuns { order, _, target in fill(order, target) }
  }

  /// A tensor of the draw's shape, filled run by run by the operations that `fill` makes: it gets the order of
  /// the elements, the number of the first one and the memory.
  func filledRuns(_ fill: (coix_draw_order, Int, UnsafeMutablePointer<Float>) -> Operation) -> Tensor {
    if let refusal { return refusal }
    guard let runs else { return mismatch }
    guard let result = makeResult() else { return .outOfMemory }
    var element = 0
    for run in runs where run.count > 0 {
      fill(order(of: run), element, result.pointer + element * result.rowCount).run()
      element += run.count
    }
    return result
  }
}
