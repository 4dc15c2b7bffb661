import CoixParallel

/// A distribution that is drawn independently over new or stretched batch axes.
///
/// Numbers are drawn in NumPyro's order: the new leading axes, the stretched inner axes from right to left, then the original
/// batch and event axes. Without stretched inner axes that is row-major order.
public struct Expanded<Base: Distribution>: Distribution {
  private let base: Base
  private let batch: Shape

  init(_ base: Base, to batch: Shape) {
    self.base = base
    self.batch = batch
  }

  public var shape: Shape { batch.appending(base.eventShape) }
  public var eventRank: Int { base.eventRank }
  public var parameters: [DistributionParameter] { base.parameters }

  /// Expanding again starts from the original distribution.
  public func expanded(to shape: Shape) -> Expanded { Expanded(base, to: shape) }

  public func sample(_ draw: Draw) -> Tensor {
    guard let fitting = Shape.broadcast(base.batchShape, batch), fitting == batch else {
      return Tensor.mismatch("expanded", [base.batchShape, batch], "the batch does not broadcast to the new shape")
    }
    let original = base.batchShape
    let leading = batch.rank - original.rank
    let stretched = original.indices.filter { original[$0] == 1 && batch[leading + $0] != 1 }
    guard !stretched.isEmpty else { return base.sample(draw) }
    // Steps of the sequence, from its fastest axis: event, original batch, stretched from left to right, leading.
    var strides = [Int](repeating: 0, count: shape.rank)
    var step = 1
    for axis in (batch.rank..<shape.rank).reversed() {
      strides[axis] = step
      step *= shape[axis]
    }
    for axis in original.indices.reversed() where !stretched.contains(axis) {
      strides[leading + axis] = step
      step *= original[axis]
    }
    for axis in stretched {
      strides[leading + axis] = step
      step *= batch[leading + axis]
    }
    for axis in (0..<leading).reversed() {
      strides[axis] = step
      step *= batch[axis]
    }
    return base.sample(Draw(key: draw.key, shape: draw.shape, strides: strides, rowStride: step))
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    // A log-density that does not vary over the new axes still counts once for each of their elements.
    let density = base.logProb(of: value, reducing: 0)
    if density.shape == batch || reducing == 0 && Shape.broadcast(density.shape, batch) == density.shape {
      return reducing == 0 ? density : base.logProb(of: value, reducing: reducing)
    }
    return density.broadcast(to: batch).summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Expanded {
    Expanded(base.mapParameters(transform), to: batch)
  }
}
