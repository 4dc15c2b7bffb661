import CoixParallel

/// The von Mises distribution of angles, in radians: density exp(κ cos(x - μ)) / (2π I₀(κ)) on -π ≤ x ≤ π.
///
/// Draws have a gradient to the location only, as in NumPyro; see `Draw.vonMises(_:)`.
public struct VonMises: Distribution {
  /// The mean direction μ; multiples of 2π make no difference.
  public let location: Tensor
  /// The concentration κ ≥ 0 around μ: if κ is large, the variance is about 1/κ; 0 gives all directions the
  /// same density.
  public let concentration: Tensor

  /// A von Mises distribution; the parameters broadcast against each other.
  public init(_ location: Tensor, _ concentration: Tensor) {
    self.location = location
    self.concentration = concentration
  }

  /// The same distribution, from numbers, or from numbers and tensors.
  @_disfavoredOverload
  public init(_ location: some TensorConvertible, _ concentration: some TensorConvertible) {
    self.init(location.asTensor, concentration.asTensor)
  }

  public var shape: Shape { Shape.broadcast(location.shape, concentration.shape) ?? location.shape }
  public var eventRank: Int { 0 }
  public var parameters: [DistributionParameter] {
    [.init("location", location, .real), .init("concentration", concentration, .nonnegative)]
  }

  /// The float next to π, which is a little larger.
  private static let halfTurn = Float(Double.pi)

  public func sample(_ draw: Draw) -> Tensor {
    let angle = location + draw.vonMises(concentration)
    let turns = ((angle + Tensor(Self.halfTurn)) / (2 * Tensor(Self.halfTurn))).floor
    return (angle - turns * (2 * Self.halfTurn)).clamped(to: -Self.halfTurn...Self.halfTurn)
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    value.logDensity(where: abs(value) .<= Self.halfTurn, standIn: 0) { x in
      // κ (cos d - 1), without loss for a small distance d, and I₀(κ) exp(-κ).
      let sine = sin((x - location) / 2)
      let concentration = select(concentration .< 0, Tensor(.nan), concentration)
      return -2 * concentration * sine.squared - logBesselI0Scaled(concentration) - log(Tensor(2 * .pi))
    }.summingLast(reducing)
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> VonMises {
    VonMises(transform(location), transform(concentration))
  }
}
