import CoixParallel

/// The distribution of y = f(x) for a bijector f and x from another distribution: density p(x) / |det dy/dx|.
///
/// If the bijector takes vectors (or matrices) and the distribution's events are smaller, its last batch axes
/// become the event; if they are larger, the bijector is applied to each part. Gradients of draws flow
/// through the base distribution's draws, and to the bijector's parameters. Outside of the bijector's
/// codomain the log-density is -inf.
///
/// A draw remembers the x that it was made from, also as a site's value that another program scores, after a
/// resampling, and in the result of an evaluation. Its log-density is computed at this x, whatever was lost
/// in rounding f(x). The formula is that of densities. The probabilities of a discrete distribution do not
/// change in this way, which is why there is no ``Distribution/finiteSupport``.
public struct Transformed<Base: Distribution, B: Bijector>: Distribution {
  private let base: Base
  private let bijector: B

  init(_ base: Base, _ bijector: B) {
    self.base = base
    self.bijector = bijector
  }

  public var shape: Shape { bijector.codomainShape(for: base.shape) ?? base.shape }
  public var eventRank: Int { bijector.codomainRank.asRank + partRank }
  public var parameters: [DistributionParameter] { base.parameters + bijector.parameters }

  /// The number of an event's axes over which the bijector is applied part by part.
  private var partRank: Int { max(base.eventRank.asRank - bijector.domainRank.asRank, 0) }
  /// The number of batch axes that become part of the event.
  private var joinedRank: Int { max(bijector.domainRank.asRank - base.eventRank.asRank, 0) }

  public func sample(_ draw: Draw) -> Tensor {
    guard isConsistent, draw.shape.rank >= eventRank else { return refused }
    let event = Shape(base.shape.suffix(base.eventRank + joinedRank))
    return bijector.image(of: base.stretchedSample(draw.replacingAxes(last: eventRank, with: event)))
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    guard isConsistent, value.shape.rank >= eventRank else { return refused }
    let point = bijector.point(of: value, in: base.shape)
    let volume = bijector.logDeterminant(from: point.x, to: point.y).summingLast(partRank)
    return (base.logProb(of: point.x, reducing: joinedRank) - volume)
      .supported(where: point.isInside.allOfLast(partRank)).summingLast(reducing)
  }

  private var isConsistent: Bool {
    let ranks = 0...base.shape.rank
    return base.hasEventAxes && ranks.contains(bijector.domainRank) && bijector.codomainRank >= 0
  }

  private var refused: Tensor {
    Tensor.mismatch(
      "Transformed", of: tensors, shapes: [base.shape],
      "needs a distribution and a map whose axes fit, of which an event has \(bijector.domainRank)")
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Transformed {
    Transformed(base.mapParameters(transform), bijector.mapParameters(transform))
  }
}
