import CoixParallel

/// The normal distribution under the condition low ≤ x ≤ high, of which either bound may be missing: density φ((x - μ)/σ) / σ over
/// the condition's probability.
///
/// Draws transform a uniform number by the inverse of the distribution function, from that tail of the normal distribution in which
/// it is accurate, as in NumPyro; gradients flow to all parameters.
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

  public func sample(_ draw: Draw) -> Tensor {
    let u = draw.uniform(low: .leastNormalMagnitude)
    // With the lower bound above the mean everything is mirrored, so that probabilities are small and not near 1.
    let side = low.map { select(location .>= $0, Tensor(1), Tensor(-1)) } ?? 1
    let atLow = low.map { normalCDF(side * standard($0)) } ?? 0
    let atHigh = high.map { normalCDF(side * standard($0)) } ?? (side + 1) / 2
    let probability = ((1 - u) * atLow + u * atHigh).clamped(to: .leastNormalMagnitude...(1 - .ulpOfOne))
    var x = location + side * scale * normalQuantile(probability)
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
    return upper + log(-expm1(lower - upper))
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> TruncatedNormal {
    TruncatedNormal(transform(location), transform(scale), low: low.map(transform), high: high.map(transform))
  }
}
