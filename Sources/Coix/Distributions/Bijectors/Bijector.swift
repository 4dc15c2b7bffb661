import CoixParallel

/// A smooth one-to-one map from vectors of real numbers (or single numbers) to a codomain, with its inverse
/// and its volume change.
///
/// Axes before those of one event number several events, which are mapped independently. To add a bijector,
/// write one file; see ``Exp`` for a map of numbers, ``Ordered`` for one of vectors. ``then(_:)`` composes.
public protocol Bijector: Sendable {
  /// How many axes, from the last, belong to one event of the domain: 0 for a map of numbers, 1 for one of
  /// vectors.
  var domainRank: Int { get }

  /// How many axes, from the last, belong to one event of the codomain.
  var codomainRank: Int { get }

  /// The shape of the result of ``forward(_:)`` for an argument of shape `domain`; nil if the shape doesn't
  /// fit.
  func codomainShape(for domain: Shape) -> Shape?

  /// f(x). Poisoned for shapes that don't fit.
  func forward(_ x: Tensor) -> Tensor

  /// The x with f(x) = y, for y in the codomain.
  func inverse(_ y: Tensor) -> Tensor

  /// log |det df/dx| at x, of which y is the image: one number for each event.
  func logDeterminant(from x: Tensor, to y: Tensor) -> Tensor

  /// 1 where y is in the codomain, else 0: one number for each event.
  func contains(_ y: Tensor) -> Tensor

  /// The map's parameters, with what they must satisfy; asked for when checks are on.
  var parameters: [DistributionParameter] { get }

  /// The map with each parameter replaced, for example to stop gradients.
  func mapParameters(_ transform: (Tensor) -> Tensor) -> Self
}

// Defaults for maps without parameters, and for maps of numbers.
extension Bijector {
  public var domainRank: Int { 0 }
  public var codomainRank: Int { domainRank }
  public func codomainShape(for domain: Shape) -> Shape? { domain }
  public var parameters: [DistributionParameter] { [] }
  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Self { self }

  /// The composition of this map, which is applied first, and another one.
  public func then<Next: Bijector>(_ next: Next) -> Composed<Self, Next> { Composed(self, next) }
}
