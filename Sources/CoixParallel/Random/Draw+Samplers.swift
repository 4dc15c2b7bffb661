import Foundation

// Samplers that transform one uniform number, as JAX does it: the same key gives the same numbers.

extension Draw {
  /// Standard exponential numbers: density exp(-x) on x >= 0.
  public func exponential() -> Tensor { -log1p(-uniform()) }

  /// Standard Laplace numbers: density exp(-|x|) / 2.
  public func laplace() -> Tensor {
    let u = uniform(low: -1 + Float.ulpOfOne / 2, high: 1)
    return u.sign * log1p(-abs(u))
  }

  /// Standard Cauchy numbers: density 1 / (π (1 + x²)).
  public func cauchy() -> Tensor {
    // Float.pi is rounded towards zero, which would change the results near the tangent's poles.
    let angle = Tensor(Float(Double.pi)) * (uniform(low: .ulpOfOne, high: 1) - 0.5)
    return sin(angle) / cos(angle)
  }

  /// Standard normal numbers under the condition lower < x < upper; either bound may be infinite.
  public func truncatedNormal(lower: Float, upper: Float) -> Tensor {
    let root = Float(2).squareRoot()
    func erf(_ x: Float) -> Float { Float(Foundation.erf(Double(x / root))) }
    let numbers = Tensor(root) * erfInverse(uniform(low: erf(lower), high: erf(upper)))
    // Rounding must not lead out of the open interval; NaN bounds give NaN.
    return minimum(maximum(numbers, Tensor(lower.nextUp)), Tensor(upper.nextDown))
  }

  /// 1 with the given probability, else 0; without a gradient. Event shapes broadcast.
  public func bernoulli(_ probability: Tensor) -> Tensor { uniform() .< probability }

  /// Indices along an axis of `logits`, which are unnormalised log-probabilities; without a gradient.
  ///
  /// The draw's shape must end with the logits' shape without that axis. The method is the Gumbel-max trick.
  ///
  /// - Parameters:
  ///   - logits: one number for each category.
  ///   - axis: the axis of categories. An axis other than the last one is only for draws in row-major order.
  public func categorical(logits: Tensor, axis: Int = -1) -> Tensor {
    guard let position = logits.shape.normalizedAxis(axis), shape.rank >= logits.shape.rank - 1 else {
      return Tensor.mismatch(
        "categorical", of: [logits], shapes: [shape, logits.shape],
        "needs an axis of categories among the logits' axes")
    }
    let count = logits.shape[position]
    let fromEnd = position - logits.shape.rank
    let noise =
      fromEnd == -1
      ? appendingAxis(count) : ordered(shape.inserting(count, at: shape.rank + 1 + fromEnd))
    return (noise.gumbel() + logits.detached).argmax(axis: fromEnd)
  }
}
