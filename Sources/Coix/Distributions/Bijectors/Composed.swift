import CoixParallel

/// One bijector after the other.
///
/// If the events of the first map's codomain and of the second map's domain differ in rank, the map with the
/// smaller rank is applied to each part of an event.
public struct Composed<First: Bijector, Second: Bijector>: Bijector, BijectorChain {
  private let first: First
  private let second: Second

  init(_ first: First, _ second: Second) {
    self.first = first
    self.second = second
  }

  /// The number of axes of an event between the two maps.
  private var middleRank: Int { max(first.codomainRank.asRank, second.domainRank.asRank) }
  /// The number of those axes over which the first map, or the second map, is applied part by part.
  private var firstParts: Int { middleRank - first.codomainRank.asRank }
  private var secondParts: Int { middleRank - second.domainRank.asRank }

  public var domainRank: Int { first.domainRank.asRank + firstParts }
  public var codomainRank: Int { second.codomainRank.asRank + secondParts }
  public func codomainShape(for domain: Shape) -> Shape? {
    first.codomainShape(for: domain).flatMap(second.codomainShape)
  }
  public func forward(_ x: Tensor) -> Tensor { second.image(of: first.image(of: x)) }
  public func inverse(_ y: Tensor) -> Tensor { first.inverse(second.inverse(y)) }

  public func logDeterminant(from x: Tensor, to y: Tensor) -> Tensor {
    let middle = first.forward(x)
    return first.logDeterminant(from: x, to: middle).summingLast(firstParts)
      + second.logDeterminant(from: middle, to: y).summingLast(secondParts)
  }

  public func contains(_ y: Tensor) -> Tensor {
    second.contains(y).allOfLast(secondParts)
      * first.contains(second.inverse(y)).allOfLast(firstParts)
  }

  func pointByParts(of y: Tensor, in domain: Shape) -> BijectorPoint {
    let middle = second.point(of: y, in: first.codomainShape(for: domain) ?? domain)
    let start = first.point(of: middle.x, in: domain)
    return BijectorPoint(
      x: start.x, y: middle.y,
      isInside: middle.isInside.allOfLast(secondParts) * start.isInside.allOfLast(firstParts))
  }

  public var parameters: [DistributionParameter] { first.parameters + second.parameters }
  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Composed {
    Composed(first.mapParameters(transform), second.mapParameters(transform))
  }
}
