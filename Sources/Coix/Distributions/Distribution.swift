import CoixParallel

/// A probability distribution: something a site can draw from.
///
/// To add a distribution, write one file: a structure that conforms to this protocol. ``expanded(to:)``,
/// ``event(_:)`` and `masked(_:)` come with it.
public protocol Distribution: Sendable {
  /// The shape of one draw: batch axes, then event axes.
  var shape: Shape { get }

  /// How many of the shape's axes, from the last, belong to one event.
  var eventRank: Int { get }

  /// Fills `draw.shape`, to which the parameters broadcast, with numbers.
  func sample(_ draw: Draw) -> Tensor

  /// The log-density (or log-probability) of `value`, summed over the last `reducing` batch axes; -inf
  /// outside of the support.
  ///
  /// The result's shape is that of the broadcast batch axes that remain.
  func logProb(of value: Tensor, reducing: Int) -> Tensor

  /// The distribution with each parameter replaced, for example to stop gradients.
  func mapParameters(_ transform: (Tensor) -> Tensor) -> Self

  /// The parameters, with what they must satisfy.
  var parameters: [DistributionParameter] { get }

  /// The value with zeros where a mask says that it does not count; by default the value itself.
  func counted(_ value: Tensor) -> Tensor

  /// The values that a draw may take; nil, as by default, if they are not finitely many.
  var finiteSupport: FiniteSupport? { get }
}

/// A distribution's parameter and its domain.
///
/// A requirement on several numbers together is stated as one on a quantity computed from them, such as the
/// sum of probabilities, which must be 1. Parameters that are the same for all rows are always checked,
/// others only with `EvaluationOptions(checks: true)`.
public struct DistributionParameter: Sendable {
  /// What a parameter must be.
  public enum Requirement: String, Sendable {
    case real, positive
    case above0 = "above 0"
    case lowerBound = "a number or -inf"
    case upperBound = "a number or +inf"
    case logOdds = "a number or infinite"
    case logit = "below +inf"
    case positiveDefinite = "positive definite"
    case nonnegative = "at least 0"
    case nonzero = "other than 0"
    case zero = "0"
    case one = "1"
    case probability = "between 0 and 1"
    case probabilityBelow1 = "at least 0 and below 1"
    case count = "a whole number, at least 0"

    /// The numbers for which it holds; nil if they are no range.
    var range: ClosedRange<Float>? {
      let largest = Float.greatestFiniteMagnitude
      return switch self {
      case .real: -largest...largest
      case .positive: .leastNonzeroMagnitude...largest
      case .above0, .positiveDefinite: .leastNonzeroMagnitude ... .infinity
      case .lowerBound, .logit: -.infinity...largest
      case .upperBound: -largest ... .infinity
      case .logOdds: -.infinity ... .infinity
      case .nonnegative: 0...largest
      case .zero: 0...0
      case .one: 1 - 0x1p-20...1 + 0x1p-20
      case .probability: 0...1
      case .probabilityBelow1: 0...Float(1).nextDown
      case .nonzero, .count: nil
      }
    }

    func holds(for value: Float) -> Bool {
      switch self {
      case .real: value.isFinite
      case .positive: value > 0 && value.isFinite
      case .above0, .positiveDefinite: value > 0
      case .lowerBound, .logit: value < .infinity
      case .upperBound: value > -.infinity
      case .logOdds: !value.isNaN
      case .nonnegative: value >= 0 && value.isFinite
      case .nonzero: value != 0 && value.isFinite
      case .zero: value == 0
      case .one: (value - 1).magnitude < 1e-6
      case .probability: value >= 0 && value <= 1
      case .probabilityBelow1: value >= 0 && value < 1
      case .count: value >= 0 && value.isFinite && value == value.rounded()
      }
    }
  }

  /// The parameter's name.
  public let name: String
  /// The parameter's value.
  public let tensor: Tensor
  /// The parameter's domain.
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

  public func counted(_ value: Tensor) -> Tensor { value }

  /// Every tensor that the distribution is made of: its parameters, and the tensors of its wrappers, such as
  /// masks.
  var tensors: [Tensor] {
    var tensors: [Tensor] = []
    _ = mapParameters { tensor in
      tensors.append(tensor)
      return tensor
    }
    return tensors
  }

  /// The axes that are not event axes.
  public var batchShape: Shape { batchShape(within: shape) }

  /// The axes of one event.
  public var eventShape: Shape {
    let shape = shape
    return shape.dropping(batchShape(within: shape).rank)
  }

  /// Whether the shape has at least as many axes as belong to one event.
  var hasEventAxes: Bool { (0...shape.rank).contains(eventRank) }

  /// The axes that are not event axes, for a caller that has the distribution's shape already.
  func batchShape(within shape: Shape) -> Shape {
    shape.leading(shape.rank - max(0, min(eventRank, shape.rank)))
  }

  /// The log-density of `value`, one number for each element of the batch.
  public func logProb(of value: Tensor) -> Tensor { logProb(of: value, reducing: 0) }

  /// A draw of the distribution's own shape.
  public func sample(_ key: PRNGKey) -> Tensor { sample(Draw(key: key, shape: shape)) }

  /// The same distribution with its last `count` batch axes made part of the event: their log-densities are
  /// summed.
  public func event(_ count: Int) -> Event<Self> { Event(self, count) }

  /// The same distribution, independently drawn over the axes that `shape` adds or stretches.
  public func expanded(to shape: Shape) -> Expanded<Self> { Expanded(self, to: shape) }

  /// The same distribution with log-probability 0 where the mask is 0.
  public func masked(_ mask: Tensor) -> Masked<Self> { Masked(self, mask) }

  /// The same distribution, its log-probability 0 throughout if `isCounted` is false.
  public func masked(_ isCounted: Bool) -> Masked<Self> { Masked(self, Tensor(isCounted ? 1 : 0)) }

  /// The same distribution with its log-probability multiplied by `factor`, which is at least 0. For a
  /// subsample of a plate, the factor is the plate's size divided by the subsample's size.
  public func scaled(by factor: Tensor) -> Scaled<Self> { Scaled(self, factor) }

  /// The same distribution with its log-probability multiplied by a number.
  @_disfavoredOverload
  public func scaled(by factor: some TensorConvertible) -> Scaled<Self> { scaled(by: factor.asTensor) }

  /// The distribution of this distribution's draws after a bijector has been applied to them.
  public func transformed<B: Bijector>(by bijector: B) -> Transformed<Self, B> { Transformed(self, bijector) }
}

extension Tensor {
  /// The sum over the last `count` axes: the last step of ``Distribution/logProb(of:reducing:)``.
  func summingLast(_ count: Int) -> Tensor {
    guard count > 0 else { return self }
    guard count <= shape.rank else {
      return Tensor.mismatch("event", of: [self], "\(count) event axes asked for")
    }
    return sum(axes: Array(shape.rank - count..<shape.rank))
  }

  /// This log-density where `support` holds (is not 0), -inf elsewhere.
  func supported(where support: Tensor) -> Tensor { select(support, self, Tensor(-.infinity)) }

  /// A log-density of these values where `support` holds, -inf elsewhere.
  ///
  /// The formula sees `standIn` outside of the support, so that gradients are 0 there and not NaN.
  func logDensity(where support: Tensor, standIn: Tensor, _ formula: (Tensor) -> Tensor) -> Tensor {
    formula(select(support, self, standIn)).supported(where: support)
  }

  /// These draws divided by a rate, clamped to the positive normal floats. Where a draw is clamped, gradients
  /// are 0.
  func bounded(overRate rate: Tensor) -> Tensor {
    // NaN stays NaN.
    let isLarge = (detached / rate.detached) .== .infinity
    let quotient = select(isLarge, 0, self) / rate
    return maximum(
      select(isLarge, Tensor(.greatestFiniteMagnitude), quotient), Tensor(.leastNormalMagnitude))
  }

  /// 1 for real numbers, 0 for infinities and NaN.
  var isReal: Tensor { abs(self) .< .infinity }

  /// 1 for finite numbers above 0, else 0.
  var isPositive: Tensor { (self .> 0) * (self .< .infinity) }

  /// 1 for whole numbers that are not negative, else 0.
  var isCount: Tensor { isReal * (self .>= 0) * (self .== floor) }
}

extension Int {
  /// This number, as a number of axes that a caller asked for, clamped so that sums of such numbers cannot
  /// overflow. No shape has so many axes.
  var asRank: Int { Int(Int32(clamping: self)) }
}

/// scale · exp(exponent) for a scale above 0, clamped to the positive normal floats. Where it is clamped, no
/// gradient flows to the exponent.
func boundedPositive(_ scale: Tensor, timesExp exponent: Tensor) -> Tensor {
  let logScale = log(scale).detached
  // With a margin for rounding.
  let least = log(Tensor(.leastNormalMagnitude)) + 1e-4 - logScale
  let greatest = minimum(log(Tensor(.greatestFiniteMagnitude)) - 1e-4 - logScale, 177)
  // The exponential is applied as two equal factors, since it may be too large or too small for a float.
  let root = exp(minimum(maximum(exponent, least), greatest) / 2)
  return scale * root * root
}

extension Distribution {
  /// A draw of a shape to which the batch axes broadcast; in NumPyro's order if inner axes are stretched for
  /// that.
  func stretchedSample(_ draw: Draw) -> Tensor {
    let target = draw.shape.dropLast(eventRank).reversed()
    let isStretched = zip(batchShape.reversed(), target).contains { $0 == 1 && $1 != 1 }
    guard isStretched else { return sample(draw) }
    return expanded(to: Shape(draw.shape.dropLast(eventRank))).sample(draw)
  }
}
