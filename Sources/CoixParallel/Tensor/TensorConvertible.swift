/// A parameter that is a tensor or can be made one: a tensor, a Swift number or an array of these.
///
/// Literals are tensors already. An initialiser that takes tensors has a second, disfavoured form for these
/// types. The compiler chooses it only if an argument is a variable that is not a tensor; `.zeros(_:)` must
/// then be written `Tensor.zeros(_:)`.
///
/// ```swift
/// let sigma: Float = 0.5
/// Normal(mean, sigma)
/// ```
public protocol TensorConvertible {
  /// The value as a tensor. A number becomes a tensor of shape [].
  var asTensor: Tensor { get }
}

extension Tensor: TensorConvertible {
  public var asTensor: Tensor { self }
}

extension Float: TensorConvertible {
  public var asTensor: Tensor { Tensor(self) }
}

extension Int: TensorConvertible {
  /// The nearest float: not every whole number beyond 2^24 is a float.
  public var asTensor: Tensor { Tensor(Float(self)) }
}

extension Double: TensorConvertible {
  /// The nearest float. If another argument is a variable, the compiler takes a literal such as 0.5 for a
  /// `Double`.
  public var asTensor: Tensor { Tensor(Float(self)) }
}

extension Array: TensorConvertible where Element: TensorConvertible {
  /// The elements one after the other, along a new first axis.
  public var asTensor: Tensor {
    let parts = map(\.asTensor)
    guard !isEmpty else { return Tensor([Float]()) }
    guard parts.allSatisfy({ $0.shape.rank == 1 && $0.failure == nil }) else {
      return Tensor.stack(parts, axis: 0)
    }
    return Tensor.refusal(forRowsOf: parts.map { $0.shape[0] }) ?? Tensor.stack(parts, axis: 0)
  }
}

extension Tensor {
  /// A tensor of a number, or of an array of numbers, of any of Swift's types.
  @_disfavoredOverload
  public init(_ value: some TensorConvertible) { self = value.asTensor }
}
