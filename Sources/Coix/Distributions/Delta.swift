import CoixParallel

/// All probability at one point, with a given log-density there: a deterministic site that may carry a
/// Jacobian.
public struct Delta: Distribution {
  /// The point.
  public let value: Tensor
  /// The log-density at the point, one number for each element of the batch.
  public let logDensity: Tensor
  public let eventRank: Int

  /// A point of which the last `eventRank` axes are the event.
  public init(_ value: Tensor, logDensity: Tensor = 0, eventRank: Int = 0) {
    self.value = value
    self.logDensity = logDensity
    self.eventRank = eventRank
  }

  /// The same distribution, from numbers, or from numbers and tensors.
  @_disfavoredOverload
  public init(
    _ value: some TensorConvertible, logDensity: some TensorConvertible = Tensor(0), eventRank: Int = 0
  ) {
    self.init(value.asTensor, logDensity: logDensity.asTensor, eventRank: eventRank)
  }

  public var shape: Shape { value.shape }
  public var parameters: [DistributionParameter] { [.init("value", value, .logOdds)] }
  public var finiteSupport: FiniteSupport? { FiniteSupport(points: [value], elementRank: eventRank) }

  /// The point itself; gradients flow to it.
  public func sample(_ draw: Draw) -> Tensor {
    value.shape == draw.shape ? value : value.broadcast(to: draw.shape)
  }

  public func logProb(of other: Tensor, reducing: Int) -> Tensor {
    guard (0...value.shape.rank).contains(eventRank) else {
      return Tensor.mismatch("Delta", of: tensors, shapes: [value.shape], "\(eventRank) event axes asked for")
    }
    let isPoint = (0..<eventRank).reduce(other .== value) { equal, _ in equal.min(axis: -1) }
    return logDensity.supported(where: isPoint).summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Delta {
    Delta(transform(value), logDensity: transform(logDensity), eventRank: eventRank)
  }
}
