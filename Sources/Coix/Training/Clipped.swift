import CoixParallel

extension Optimizer {
  /// This optimiser with gradients that are scaled down to a norm where theirs is greater: ``Clipped``.
  ///
  /// ```swift
  /// let optimizer = Adam(for: vae, learningRate: 1e-3).clipped(toGlobalNorm: 1)
  /// ```
  ///
  /// - Parameter norm: the greatest norm of a gradient: positive and finite. For any other the first update throws.
  public func clipped(toGlobalNorm norm: Float) -> Clipped<Self> { Clipped(self, norm: norm) }
}

/// An optimiser that scales gradients down to a norm where theirs is greater; `optax.clip_by_global_norm`.
///
/// The norm is the root of the sum of the squares of all numbers of the gradient's tensors. A gradient that is not finite
/// goes to the optimiser as it is, which skips it. One whose square overflows is clipped like any other.
///
/// Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013.
///
/// Its tensors are those of the optimiser within it, by the same names.
public struct Clipped<Rule: Optimizer>: Optimizer {
  public typealias Parameters = Rule.Parameters

  /// The optimiser that takes the steps.
  public var rule: Rule
  /// The greatest norm of a gradient: positive and finite.
  public let norm: Float

  fileprivate init(_ rule: Rule, norm: Float) { (self.rule, self.norm) = (rule, norm) }

  @discardableResult
  public mutating func update(_ parameters: inout Parameters, along gradient: Parameters) throws -> Bool {
    try require(norm > 0 && norm.isFinite, of: norm, "the norm", "positive and finite", in: "Clipped")
    return try rule.update(&parameters, along: try gradient.clipped(to: norm))
  }

  public var counts: StepCounts {
    get { rule.counts }
    set { rule.counts = newValue }
  }
  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws { try rule.visitTensors(&visitor) }
}

extension TensorTree {
  /// This gradient, scaled down to a norm if its own is greater.
  fileprivate func clipped(to limit: Float) throws -> Self {
    let square = flattened.reduce(Tensor(0)) { $0 + $1.squared.sum() }
    guard square.isWithin(0...Float.greatestFiniteMagnitude) else {
      guard isFinite else { return self }
      // The square overflows; that of the gradient times a small power of two does not.
      let small: Float = 0x1p-96
      return try mapTensors { $0 * small }.clipped(to: limit * small).mapTensors { $0 / small }
    }
    let norm = sqrt(square)
    let scale = select(norm .< limit, 1, limit / norm)
    return try mapTensors { $0 * scale }
  }
}
