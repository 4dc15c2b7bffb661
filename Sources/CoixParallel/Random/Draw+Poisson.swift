extension Draw {
  /// Poisson counts of the given rates, as whole floats; without a gradient. NaN where a rate is negative,
  /// NaN or infinite.
  ///
  /// The algorithms are JAX's: Knuth's product of uniform numbers for rates below 10, otherwise Hörmann's
  /// transformed rejection ("The transformed rejection method for generating Poisson random variables",
  /// 1993). JAX repeats the rejection for all elements until each has been accepted once, and each element
  /// keeps the last number that was accepted. A draw outside of a plate does the same and gives JAX's
  /// numbers. In a plate, an element must not depend on the elements of other chunks, so it keeps the first
  /// number that was accepted.
  public func poisson(_ rate: Tensor) -> Tensor {
    guard Shape.broadcast(rate.shape, shape) == shape else {
      return Tensor.mismatch(
        "poisson", of: [rate], shapes: [rate.shape, shape], "the rates don't broadcast to the draw")
    }
    let rate = rate.detached.broadcast(to: shape)
    if rate.isPoisoned { return rate }
    let isLegal = (rate .>= 0) * (rate .< .infinity)
    let isSmall = rate .< 10
    var counts = zeros()
    if (isLegal * isSmall).hasNonzero { counts = poissonByProduct(select(isLegal * isSmall, rate, 0)) }
    if (isLegal * (1 - isSmall)).hasNonzero {
      // Elements with a small or illegal rate get the rate 1e5 in its place, as in JAX.
      counts = select(isSmall, counts, poissonByRejection(select(isLegal * (1 - isSmall), rate, 1e5)))
    }
    return select(isLegal, counts, Tensor(.nan))
  }

  /// One less than how many uniform numbers it takes until their product is at most exp(-rate); 0 for a rate
  /// of 0.
  private func poissonByProduct(_ rate: Tensor) -> Tensor {
    var stream = KeyStream(key)
    var count = zeros()
    var logProduct = Tensor.zeros(shape)
    var isOpen = logProduct .> -rate
    while isOpen.hasNonzero {
      count = count + isOpen
      logProduct = logProduct + log(with(key: stream.next()).uniform())
      isOpen = (logProduct .> -rate)
    }
    return maximum(count - 1, 0)
  }

  private func poissonByRejection(_ rate: Tensor) -> Tensor {
    let logRate = log(rate)
    let b = 0.931 + 2.53 * sqrt(rate)
    let a = -0.059 + 0.02483 * b
    let inverseAlpha = 1.1239 + 1.1328 / (b - 3.4)
    let squeeze = 0.9277 - 3.6224 / (b - 2)
    let isInPlate = ExecutionContext.current?.stride ?? 0 > 0
    var key = key
    var count = zeros() - 1
    var isOpen = Tensor.ones(shape)
    // About nine tenths are accepted in each round.
    for _ in 0..<10_000 {
      guard isOpen.hasNonzero else { break }
      let keys = key.split(into: 3)
      key = keys[0]
      let u = with(key: keys[1]).uniform() - 0.5
      let v = with(key: keys[2]).uniform()
      let shifted = 0.5 - abs(u)
      let k = ((2 * a / shifted + b) * u + rate + 0.43).floor
      let s = log(v * inverseAlpha / (a / (shifted * shifted) + b))
      let t = -rate + k * logRate - CoixParallel.logGamma(k + 1)
      let isInside = (shifted .>= 0.07) * (v .<= squeeze)
      let isOutside = maximum(k .< 0, (shifted .< 0.013) * (v .> shifted))
      let isAccepted = maximum(isInside, (1 - isOutside) * (s .<= t))
      count = select(isInPlate ? isAccepted * isOpen : isAccepted, k, count)
      isOpen = isOpen * (1 - isAccepted)
    }
    return count
  }
}
