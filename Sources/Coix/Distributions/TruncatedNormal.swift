import CoixParallel

/// The normal distribution under the condition low ≤ x ≤ high, of which either bound may be missing: density φ((x - μ)/σ) / σ over
/// the condition's probability.
///
/// Draws transform a uniform number by the inverse of the distribution function, from that tail of the normal distribution in which
/// it is accurate, as in NumPyro; gradients flow to all parameters. Where the tail's probability is too small for that, or the bounds are
/// close together, other formulas take over, in which nothing is lost.
public struct TruncatedNormal: Distribution {
  /// The mean μ of the normal distribution.
  public let location: Tensor
  /// Its standard deviation σ > 0.
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

  public var shape: Shape {
    [scale, low, high].compactMap { $0?.shape }.reduce(location.shape) { Shape.broadcast($0, $1) ?? $0 }
  }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] {
    var list: [DistributionParameter] = [
      .init("location", location, .real), .init("scale", scale, .positive),
    ]
    if let low { list.append(.init("low", low, .real)) }
    if let high { list.append(.init("high", high, .real)) }
    if let low, let high { list.append(.init("high - low", high - low, .positive)) }
    return list
  }

  /// A bound's distance from the mean, in standard deviations.
  private func standard(_ bound: Tensor) -> Tensor { (bound - location) / scale }
  private func standard(_ bound: Tensor?) -> Tensor? { bound.map(standard) }

  /// Below this many standard deviations the probability of a tail leaves the range of single precision.
  private static let farTail: Tensor = -11.5

  /// 1 where the bounds are so close that the normal density between them is exponential for all that can be told.
  private func isNarrow(_ low: Tensor, _ high: Tensor) -> Tensor {
    (high .> low) * (high - low .< 0.01 * scale)
  }

  /// A draw from within the far tail: the logarithm of the distribution function is inverted, by Newton's method from its asymptote.
  private func farDraw(_ u: Tensor, _ side: Tensor) -> Tensor {
    let atLow = standard(low).map { logNormalCDF(side * $0) } ?? Tensor(-.infinity)
    let atHigh =
      standard(high).map { logNormalCDF(side * $0) } ?? select(side .> 0, Tensor(0), Tensor(-.infinity))
    let upper = maximum(atLow, atHigh).detached
    let target = log((1 - u) * exp(atLow - upper) + u * exp(atHigh - upper)) + upper
    // Elsewhere any number of such a tail will do.
    let logProbability = select(target .< -60, target, -60)
    func step(_ z: Tensor, _ target: Tensor) -> Tensor {
      let logCDF = logNormalCDF(z).detached
      let hazard = exp(normalLogDensity(z, location: 0, scale: 1, reducing: 0) - logCDF).detached
      return z + (target - logCDF) / hazard
    }
    var z = -sqrt(-2 * logProbability.detached)
    for _ in 0..<4 { z = step(z, logProbability.detached) }
    // The last step carries the gradient.
    return location + side * scale * step(z, logProbability)
  }

  /// A draw between close bounds, where the density falls (or rises) exponentially.
  private func narrowDraw(_ u: Tensor, _ low: Tensor, _ high: Tensor) -> Tensor {
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

  /// log(Φ(b) - Φ(a)) for close bounds: the width times the density in their middle, times the mean of an exponential function of the
  /// slope there, sinh(y) / y, and of the curvature.
  private func narrowLogProbability(_ low: Tensor, _ high: Tensor) -> Tensor {
    let isNarrow = isNarrow(low, high)
    let width = select(isNarrow, (high - low) / scale, 0.01)
    let y = select(isNarrow, abs(fall(low, high)) / 2, 0)
    let isSmall = y .< 0.5
    let (small, large) = (select(isSmall, y, 0), select(isSmall, 1, y))
    let square = small.squared
    let series = square * (Tensor(1) / 6 - square * (Tensor(1) / 180 - square / 2835))
    let mean = select(isSmall, series, large + log1p(-exp(-2 * large)) - log(2 * large))
    let middle = (standard(low) + standard(high)) / 2
    return log(width) + normalLogDensity(middle, location: 0, scale: 1, reducing: 0) + mean - width.squared
      / 24
  }

  public func sample(_ draw: Draw) -> Tensor {
    let u = draw.uniform(low: .leastNormalMagnitude)
    // With the lower bound above the mean everything is mirrored, so that probabilities are small and not near 1.
    let side = low.map { select(location .>= $0, Tensor(1), Tensor(-1)) } ?? 1
    let atLow = low.map { normalCDF(side * standard($0)) } ?? 0
    let atHigh = high.map { normalCDF(side * standard($0)) } ?? (side + 1) / 2
    let isFar = select(side .> 0, standard(high) ?? Tensor(.infinity), -(standard(low) ?? 0)) .< Self.farTail
    let probability = ((1 - u) * atLow + u * atHigh).clamped(to: .leastNormalMagnitude...(1 - .ulpOfOne))
    var x = location + side * scale * normalQuantile(probability)
    if isFar.hasNonzero { x = select(isFar, farDraw(u, side), x) }
    if let low, let high {
      let isNarrow = isNarrow(low, high)
      if isNarrow.hasNonzero { x = select(isNarrow, narrowDraw(u, low, high), x) }
    }
    // Rounding must not lead out of the support.
    if let low { x = maximum(x, low) }
    if let high { x = minimum(x, high) }
    return x
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    var support = value.isReal
    if let low { support = support * (value .>= low) }
    if let high { support = support * (value .<= high) }
    return value.logDensity(where: support, standIn: location.detached) { x in
      normalLogDensity(x, location: location, scale: scale, reducing: 0) - logProbabilityOfSupport
    }.summingLast(reducing)
  }

  private var logProbabilityOfSupport: Tensor {
    guard let low else { return high.map { logNormalCDF(standard($0)) } ?? 0 }
    guard let high else { return logNormalCDF(-standard(low)) }
    // log(Φ(b) - Φ(a)), where both are below the mean if one may choose.
    let isAbove = low .> location
    let (a, b) = (standard(low), standard(high))
    let upper = logNormalCDF(select(isAbove, -a, b))
    let lower = logNormalCDF(select(isAbove, -b, a))
    let isNarrow = isNarrow(low, high)
    guard isNarrow.hasNonzero else { return upper + log(-expm1(lower - upper)) }
    // In either formula, what the other is for is left out.
    let difference = select(isNarrow, -1, lower - upper)
    return select(isNarrow, narrowLogProbability(low, high), upper + log(-expm1(difference)))
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> TruncatedNormal {
    TruncatedNormal(transform(location), transform(scale), low: low.map(transform), high: high.map(transform))
  }
}
