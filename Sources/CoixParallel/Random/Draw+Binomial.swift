import CoixKernels

extension Draw {
  /// How many of `totalCount` trials succeed, each with the given probability, as whole floats; without a
  /// gradient. NaN where the number of trials is not a whole number that is at least 0, or the probability
  /// not one.
  ///
  /// Both broadcast to the draw's shape. NumPyro's algorithms with NumPyro's keys: for a mean of successes
  /// (or failures, if they are rarer) below 10 waiting times are added up; else Hörmann's transformed
  /// rejection ("The generation of binomial random variates", 1993). There a number is accepted as Hörmann
  /// has it, and in double: where NumPyro has the wrong sign (of the last digits of log k!), or too few
  /// digits, another number may be drawn. That is one in 70 at a mean of 10, one in 200 at 30, one in 2,000
  /// at 300.
  public func binomial(_ totalCount: Tensor, _ probability: Tensor) -> Tensor {
    let name = "binomial"
    if let refusal = totalCount.refusal(name) ?? probability.refusal(name) { return refusal }
    if totalCount.lacksRows || probability.lacksRows {
      return binomial(totalCount.inAllRows, probability.inAllRows)
    }
    guard [totalCount, probability].allSatisfy({ Shape.broadcast($0.shape, shape) == shape }) else {
      return Tensor.mismatch(
        name, [totalCount.shape, probability.shape, shape], "the parameters don't broadcast to the draw")
    }
    func spread(_ tensor: Tensor) -> Tensor {
      tensor.shape.elementCount == 1 ? tensor.detached : tensor.detached.broadcast(to: shape)
    }
    let (count, probability) = (spread(totalCount), spread(probability))
    return filledRuns { place, element, target in
      let (n, p) = (operand(count, at: element), operand(probability, at: element))
      coix_draw_binomial(
        key.words, place, p.pointer, p.elementStride, p.rowStride, n.pointer, n.elementStride, n.rowStride,
        target, team)
    }
  }
}
