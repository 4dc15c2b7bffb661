import CoixParallel

/// A distribution that is drawn independently over new or stretched batch axes.
///
/// Numbers are drawn in NumPyro's order, in which a plate's rows are the first batch axes: the new leading
/// axes, the stretched inner axes from right to left, then the original batch and event axes. Within a local
/// plate, rows count among the original axes if a parameter varies over them; every new axis then counts as a
/// stretched inner axis, which varies more slowly than rows. A distribution that is expanded twice is drawn
/// as if it had been expanded once.
public struct Expanded<Base: Distribution>: Distribution {
  private let base: Base
  private let batch: Shape
  /// Whether the expansion is for a local plate.
  private let isLocal: Bool

  init(_ base: Base, to batch: Shape, isLocal: Bool = false) {
    self.base = base
    self.batch = batch
    self.isLocal = isLocal
  }

  public var shape: Shape { batch.appending(base.eventShape) }
  public var eventRank: Int { base.eventRank }
  public var parameters: [DistributionParameter] { base.parameters }
  public func counted(_ value: Tensor) -> Tensor { base.counted(value) }
  public var finiteSupport: FiniteSupport? { base.finiteSupport?.expanded(to: shape) }

  public func sample(_ draw: Draw) -> Tensor {
    guard base.hasEventAxes else {
      return Tensor.mismatch(
        "expanded", of: tensors, shapes: [base.shape], "\(base.eventRank) event axes asked for")
    }
    let original = base.batchShape
    guard Shape.broadcast(original, batch) == batch,
      Shape.broadcast(shape, draw.shape) == draw.shape
    else {
      return Tensor.mismatch(
        "expanded", of: tensors, shapes: [original, batch],
        "the batch does not broadcast to the new shape")
    }
    // All axes of the draw count, also those that another expansion around this one has added or stretched.
    let sizes = draw.shape
    let batchRank = sizes.rank - base.eventRank
    let leading = batchRank - original.rank
    let isLocal = isLocal || draw.isLocal
    let varies = isLocal ? PlateAxes(of: base.parameters.map(\.tensor)) : nil
    var stretched = (leading..<batchRank).filter { original[$0 - leading] == 1 && sizes[$0] != 1 }
    if varies != nil { stretched = Array(0..<leading) + stretched }
    guard !stretched.isEmpty else {
      return base.sample(draw.ordered(sizes, isLocal: isLocal))
    }
    // The order of the draw, from the fastest axis: event, original batch, rows if a parameter varies over
    // them, stretched axes from left to right, leading axes, rows otherwise.
    var strides = [Int](repeating: 0, count: sizes.rank)
    var step = 1
    func lay(_ axes: some Sequence<Int>) {
      for axis in axes {
        strides[axis] = step
        step *= sizes[axis]
      }
    }
    lay((batchRank..<sizes.rank).reversed())
    lay((leading..<batchRank).reversed().filter { !stretched.contains($0) })
    let beforeRows = step
    let plate = ExecutionContext.current?.drawnPlate ?? PlateRows(particles: 1)
    func sample(rowStride: Int, particleStride: Int? = nil) -> Tensor {
      base.sample(
        Draw(
          key: draw.key, shape: sizes, strides: strides, rowStride: rowStride, particleStride: particleStride,
          isLocal: isLocal))
    }
    switch varies {
    case .all:
      step *= plate.count
      lay(stretched)
      return sample(rowStride: beforeRows)
    case .particles:
      step *= plate.particles
      let rowStride = step
      step *= plate.instances
      lay(stretched)
      return sample(rowStride: rowStride, particleStride: beforeRows)
    case .instances:
      step *= plate.instances
      lay(stretched)
      return sample(rowStride: beforeRows, particleStride: step)
    case nil:
      lay(stretched)
      lay((0..<leading).reversed())
      return base.sample(draw.ordered(sizes, strides: strides, rowStride: step, isLocal: isLocal))
    }
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    let given = value.shape.leading(value.shape.rank - base.eventRank.asRank)
    guard let density = Shape.broadcast(given, base.batchShape), let full = Shape.broadcast(density, batch)
    else {
      return Tensor.mismatch(
        "expanded", of: [value] + tensors, shapes: [value.shape, shape],
        "the value does not broadcast to the distribution")
    }
    // A log-density that does not vary over the new axes still counts once for each of their elements.
    return density == full
      ? base.logProb(of: value, reducing: reducing)
      : base.logProb(of: value).broadcast(to: full).summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Expanded {
    Expanded(base.mapParameters(transform), to: batch, isLocal: isLocal)
  }
}
