import CoixParallel

/// The normal distribution under the condition low ≤ x ≤ high, where either bound may be missing: density
/// φ((x - μ)/σ) / σ divided by the condition's probability.
///
/// Draws transform a uniform number by the inverse of the cumulative distribution function, computed in the
/// tail of the normal distribution where it is accurate, as in NumPyro; gradients flow to all parameters.
/// Where the tail's probability is too small for that, or the bounds are close together, other formulas are
/// used. Bounds may be infinite.
public struct TruncatedNormal: Distribution {
  /// The mean μ of the normal distribution.
  public let location: Tensor
  /// The standard deviation σ > 0 of the normal distribution.
  public let scale: Tensor
  /// The lower bound, itself in the support; nil for none.
  public let low: Tensor?
  /// The upper bound, itself in the support and above the lower one; nil for none.
  public let high: Tensor?

  /// A truncated normal distribution; the parameters broadcast against each other.
  public init(_ location: Tensor, _ scale: Tensor, low: Tensor? = nil, high: Tensor? = nil) {
    self.location = location
    self.scale = scale
    self.low = low
    self.high = high
  }

  /// The same distribution, from numbers, or from numbers and tensors.
  @_disfavoredOverload
  public init(
    _ location: some TensorConvertible, _ scale: some TensorConvertible,
    low: (some TensorConvertible)? = Tensor?.none,
    high: (some TensorConvertible)? = Tensor?.none
  ) {
    self.init(location.asTensor, scale.asTensor, low: low?.asTensor, high: high?.asTensor)
  }

  public var shape: Shape {
    [scale, low, high].compactMap { $0?.shape }.reduce(location.shape) { Shape.broadcast($0, $1) ?? $0 }
  }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] {
    var list: [DistributionParameter] = [
      .init("location", location, .real), .init("scale", scale, .positive),
    ]
    if let low { list.append(.init("low", low, .lowerBound)) }
    if let high { list.append(.init("high", high, .upperBound)) }
    if let low, let high { list.append(.init("high - low", high - low, .above0)) }
    return list
  }

  /// A bound's distance from the mean, in standard deviations.
  private func standard(_ bound: Tensor) -> Tensor { (bound - location) / scale }
  private func standard(_ bound: Tensor?) -> Tensor? { bound.map(standard) }

  /// Below this many standard deviations the probability of a tail leaves the range of single precision.
  private static let farTail: Tensor = -11.5

  /// 1 where the bounds are so close that the normal density between them is exponential up to rounding.
  private func isNarrow(_ low: Tensor, _ high: Tensor) -> Tensor {
    (high .> low) * (high - low .< 0.01 * scale)
  }

  /// The draw for the uniform number u in the far tail: inverts the logarithm of the cumulative distribution
  /// function by Newton's method, starting from its asymptote.
  private func farQuantile(_ u: Tensor, _ side: Tensor) -> Tensor {
    let atLow = standard(low).map { logNormalCDF(side * $0) } ?? Tensor(-.infinity)
    let atHigh =
      standard(high).map { logNormalCDF(side * $0) } ?? select(side .> 0, Tensor(0), Tensor(-.infinity))
    let upper = maximum(atLow, atHigh)
    let target = log((1 - u) * exp(atLow - upper) + u * exp(atHigh - upper)) + upper
    // Elements outside of the far tail, whose results are not used, get some number of such a tail.
    let logProbability = select(target .< -60, target, -60)
    var z = -sqrt(-2 * logProbability)
    for _ in 0..<5 {
      let logCDF = logNormalCDF(z)
      let hazard = exp(normalLogDensity(z, location: 0, scale: 1, reducing: 0) - logCDF)
      z = z + (logProbability - logCDF) / hazard
    }
    return location + side * scale * z
  }

  /// The draw for the uniform number u between close bounds, where the density falls (or rises)
  /// exponentially.
  private func narrowQuantile(_ u: Tensor, _ low: Tensor, _ high: Tensor) -> Tensor {
    let width = high - low
    let fall = fall(low, high)
    let side = select(fall .< 0, Tensor(-1), Tensor(1))
    let v = select(side .< 0, 1 - u, u)
    let (slope, isFlat) = (side * fall, abs(fall) .< 1e-3)
    let steep = select(isFlat, 1, slope)
    let place = select(
      isFlat, v - slope * v * (1 - v) / 2, -log1p(v * expm1(-steep)) / steep)
    return select(side .< 0, high, low) + side * width * place
  }

  /// By how much the log-density falls from one close bound to the other.
  private func fall(_ low: Tensor, _ high: Tensor) -> Tensor {
    (standard(low) + standard(high)) / 2 * ((high - low) / scale)
  }

  /// The number at which the cumulative distribution function is u. Its gradient is not used.
  private func quantile(_ u: Tensor) -> Tensor {
    // If the lower bound is above the mean, the distribution is mirrored, so that probabilities are small and
    // not near 1.
    let side = low.map { select(location .>= $0, Tensor(1), Tensor(-1)) } ?? 1
    let atLow = low.map { normalCDF(side * standard($0)) } ?? 0
    let atHigh = high.map { normalCDF(side * standard($0)) } ?? (side + 1) / 2
    let isFar = select(side .> 0, standard(high) ?? Tensor(.infinity), -(standard(low) ?? 0)) .< Self.farTail
    let probability = ((1 - u) * atLow + u * atHigh).clamped(to: .leastNormalMagnitude...(1 - .ulpOfOne))
    var x = location + side * scale * normalQuantile(probability)
    if isFar.hasNonzero { x = select(isFar, farQuantile(u, side), x) }
    if let low, let high {
      let isNarrow = isNarrow(low, high)
      if isNarrow.hasNonzero { x = select(isNarrow, narrowQuantile(u, low, high), x) }
    }
    // Rounding must not lead out of the support.
    if let low { x = maximum(x, low) }
    if let high { x = minimum(x, high) }
    return x
  }

  public func sample(_ draw: Draw) -> Tensor {
    let u = draw.uniform(low: .leastNormalMagnitude)
    return truncatedNormalDraw(
      mapParameters(\.detached).quantile(u), uniform: u, location: location, scale: scale,
      low: low ?? Tensor(-.infinity), high: high ?? Tensor(.infinity))
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    logDensity(
      .truncatedNormal, value, location, scale, low ?? Tensor(-.infinity), high ?? Tensor(.infinity)
    ).summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> TruncatedNormal {
    TruncatedNormal(transform(location), transform(scale), low: low.map(transform), high: high.map(transform))
  }
}
