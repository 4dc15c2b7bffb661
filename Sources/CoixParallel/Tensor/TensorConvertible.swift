/// What may stand for a tensor as a parameter: a tensor, or a number that is a variable of Swift's.
///
/// Literals are tensors already. An initialiser that takes tensors takes these too by a second, disfavoured
/// form, which only a variable that is no tensor makes the compiler choose; `.zeros(_:)` is then written
/// `Tensor.zeros(_:)`.
///
/// ```swift
/// let sigma: Float = 0.5
/// Normal(mean, sigma)
/// ```
public protocol TensorConvertible {
  /// The tensor that this stands for: a number is one of shape [].
  var asTensor: Tensor { get }
}

extension Tensor: TensorConvertible {
  public var asTensor: Tensor { self }
}

extension Float: TensorConvertible {
  public var asTensor: Tensor { Tensor(self) }
}

extension Int: TensorConvertible {
  /// The nearest float: beyond 2^24 not every whole number is one.
  public var asTensor: Tensor { Tensor(Float(self)) }
}

extension Double: TensorConvertible {
  /// The nearest float. Beside a variable, a literal such as 0.5 is a `Double` to the compiler.
  public var asTensor: Tensor { Tensor(Float(self)) }
}

extension Array: TensorConvertible where Element: TensorConvertible {
  /// The elements one after the other, along a new first axis.
  public var asTensor: Tensor {
    isEmpty ? Tensor([Float]()) : Tensor.stack(map(\.asTensor), axis: 0)
  }
}
