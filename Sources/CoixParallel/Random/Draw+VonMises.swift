import CoixKernels

extension Draw {
  /// Angles of the von Mises distribution around 0, in radians: density proportional to exp(κ cos x) on -π ≤
  /// x ≤ π. Without a gradient; NaN where the concentration is negative, NaN or infinite.
  ///
  /// The concentration broadcasts to the draw's shape. The draws are NumPyro's: rejection from a wrapped
  /// Cauchy distribution (Best and Fisher, "Efficient simulation of the von Mises distribution", 1979) is
  /// repeated until each element has been accepted, and the sign of an angle comes from the last round. In a
  /// plate, an element must not depend on the elements of other chunks, so its sign comes from the round that
  /// accepted it.
  public func vonMises(_ concentration: Tensor) -> Tensor {
    guard Shape.broadcast(concentration.shape, shape) == shape else {
      return Tensor.mismatch(
        "vonMises", [concentration.shape, shape], "the concentration doesn't broadcast to the draw")
    }
    let concentration = concentration.inAllRows.detached
    if let refusal = concentration.refusal("vonMises") { return refusal }
    let isInPlate = ExecutionContext.current?.stride ?? 0 > 0
    let kappa = concentration.shape.elementCount == 1 ? concentration : concentration.broadcast(to: shape)
    let (angle, isOpen) = (zeros(), zeros() + 1)
    var (key, sign) = (key, Tensor(0))
    if angle.isPoisoned { return angle }
    // About two thirds or more are accepted in each round.
    for _ in 0..<10_000 {
      guard isOpen.hasNonzero else { break }
      let keys = key.split(into: 3)
      key = keys[2]
      let u = with(key: keys[0]).uniform(low: -1)
      let v = with(key: keys[1]).uniform()
      sign = isInPlate ? select(isOpen, u.sign, sign) : u.sign
      coix_op_von_mises_round(
        kappa.pointer, kappa.elementStride(in: shape), kappa.rowStride, u.pointer, v.pointer, angle.pointer,
        isOpen.pointer, shape.elementCount, angle.rowCount
      ).run()
    }
    return sign * angle
  }
}
