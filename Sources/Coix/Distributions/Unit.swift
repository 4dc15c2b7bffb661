import CoixParallel

/// A distribution without a value, only with a log-density: what a factor observes.
///
/// Its value is empty: event shape `[0]`.
public struct Unit: Distribution {
  /// The log-density.
  public let logDensity: Tensor

  /// A factor of exp(logDensity).
  public init(_ logDensity: Tensor) { self.logDensity = logDensity }

  /// The same factor, from a number instead of a tensor.
  @_disfavoredOverload
  public init(_ logDensity: some TensorConvertible) { self.init(logDensity.asTensor) }

  public var shape: Shape { logDensity.shape.appending([0]) }
  public var eventRank: Int { 1 }
  public var parameters: [DistributionParameter] { [] }
  public func sample(_ draw: Draw) -> Tensor { Tensor.zeros(draw.shape) }
  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    let batch = Shape(value.shape.dropLast())
    let full = Shape.broadcast(batch, logDensity.shape) ?? batch
    return (full == logDensity.shape ? logDensity : logDensity.broadcast(to: full)).summingLast(reducing)
  }
  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Unit { Unit(transform(logDensity)) }
}
