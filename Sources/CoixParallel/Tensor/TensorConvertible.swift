/// What may stand for a tensor as a parameter: a tensor, or a number that is a variable of Swift's.
///
/// Literals are tensors already. An initialiser that takes tensors takes these too by a second, disfavoured form, so that literals and
/// `.zeros(_:)` mean what they always do:
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
