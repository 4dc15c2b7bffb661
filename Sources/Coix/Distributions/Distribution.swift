import CoixParallel

/// A probability distribution: something a site can draw from.
///
/// To add one, write one file: a structure that conforms to this protocol. ``expanded(to:)``, ``event(_:)`` and ``masked(_:)``
/// come with it.
public protocol Distribution: Sendable {
  /// The shape of one draw: batch axes, then event axes.
  var shape: Shape { get }

  /// How many of the shape's axes, from the last, belong to one event.
  var eventRank: Int { get }

  /// Fills `draw.shape`, to which the parameters broadcast, with numbers.
  func sample(_ draw: Draw) -> Tensor

  /// The log-density (or log-probability) of `value`, summed over the last `reducing` batch axes; -inf outside of the support.
  ///
  /// The result's shape is that of the broadcast batch axes that remain.
  func logProb(of value: Tensor, reducing: Int) -> Tensor

  /// The distribution with each parameter replaced: to stop gradients, say.
  func mapParameters(_ transform: (Tensor) -> Tensor) -> Self

  /// The parameters, with what they must satisfy; asked for when checks are on.
  var parameters: [DistributionParameter] { get }

  /// The values that a draw may take; nil, as by default, if they are not finitely many.
  var finiteSupport: FiniteSupport? { get }
}

/// A distribution's parameter and its domain.
public struct DistributionParameter: Sendable {
  /// What a parameter must be.
  public enum Requirement: String, Sendable {
    case real, positive
    case probability = "between 0 and 1"

    func holds(for value: Float) -> Bool {
      switch self {
      case .real: value.isFinite
      case .positive: value > 0 && value.isFinite
      case .probability: value >= 0 && value <= 1
      }
    }
  }

  /// The parameter's name.
  public let name: String
  /// Its value.
  public let tensor: Tensor
  /// Its domain.
  public let requirement: Requirement

  /// A parameter.
  public init(_ name: String, _ tensor: Tensor, _ requirement: Requirement) {
    self.name = name
    self.tensor = tensor
    self.requirement = requirement
  }
}

extension Distribution {
  public var finiteSupport: FiniteSupport? { nil }

  /// The axes that are not event axes.
  public var batchShape: Shape { shape.leading(shape.rank - eventRank) }

  /// The axes of one event.
  public var eventShape: Shape { shape.dropping(shape.rank - eventRank) }

  /// The log-density of `value`, one number for each element of the batch.
  public func logProb(of value: Tensor) -> Tensor { logProb(of: value, reducing: 0) }

  /// A draw of the distribution's own shape.
  public func sample(_ key: PRNGKey) -> Tensor { sample(Draw(key: key, shape: shape)) }

  /// The same distribution with its last `count` batch axes made part of the event: their log-densities are summed.
  public func event(_ count: Int) -> Event<Self> { Event(self, count) }

  /// The same distribution, independently drawn over the axes that `shape` adds or stretches.
  public func expanded(to shape: Shape) -> Expanded<Self> { Expanded(self, to: shape) }

  /// The same distribution with log-probability 0 where the mask is 0.
  public func masked(_ mask: Tensor) -> Masked<Self> { Masked(self, mask) }

  /// The same distribution, its log-probability 0 throughout if `isCounted` is false.
  public func masked(_ isCounted: Bool) -> Masked<Self> { Masked(self, Tensor(isCounted ? 1 : 0)) }
}

extension Tensor {
  /// The sum over the last `count` axes: what ``Distribution/logProb(of:reducing:)`` does at its end.
  func summingLast(_ count: Int) -> Tensor {
    guard count > 0 else { return self }
    guard count <= shape.rank else {
      return Tensor.mismatch("event", [shape], "\(count) event axes asked for")
    }
    return sum(axes: Array(shape.rank - count..<shape.rank))
  }

  /// This log-density where `support` holds (is not 0), -inf elsewhere.
  func supported(where support: Tensor) -> Tensor { select(support, self, Tensor(-.infinity)) }
}
