import CoixKernels

extension Draw {
  /// How many of `totalCount` trials succeed, each with the given probability, as whole floats; without a
  /// gradient. NaN where the number of trials is not a whole number of at least 0, or the probability is not
  /// in [0, 1].
  ///
  /// Both parameters broadcast to the draw's shape. The algorithms and keys are NumPyro's. If the mean number
  /// of successes (or of failures, if they are rarer) is below 10, waiting times are summed; otherwise the
  /// draw uses Hörmann's transformed rejection ("The generation of binomial random variates", 1993). Its
  /// acceptance test follows Hörmann's paper and is computed in double. NumPyro's test has a wrong sign (in
  /// the last digits of log k!) and fewer digits, so it sometimes draws another number: one in 70 at a mean
  /// of 10, one in 200 at 30, one in 2,000 at 300.
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
    return filledRuns { order, element, target in
      let (n, p) = (operand(count, at: element), operand(probability, at: element))
      return coix_op_draw_binomial(
        key.source, order, p.pointer, p.elementStride, p.rowStride, n.pointer, n.elementStride, n.rowStride,
        target, ExecutionContext.team)
    }
  }
}
