import CoixParallel

/// The Dirichlet distribution over vectors of probabilities: density Γ(Σα) / ΠΓ(α_k) · Π x_k^(α_k - 1) on the
/// simplex.
///
/// Draws are clamped to [least normal float, 1 - 2⁻²³]; their gradients flow to the concentrations. A value
/// is on the simplex if no component is negative and their sum is 1, up to 1e-6. A component of 0 whose
/// concentration is 1 counts as a factor of 1.
public struct Dirichlet: Distribution {
  /// The concentrations α > 0, along the last axis.
  public let concentration: Tensor

  /// A Dirichlet distribution; the concentrations' last axis is the event.
  public init(_ concentration: Tensor) { self.concentration = concentration }

  /// The same distribution, from an array of numbers.
  @_disfavoredOverload
  public init(_ concentration: some TensorConvertible) { self.init(concentration.asTensor) }

  public var shape: Shape { concentration.shape }
  public var eventRank: Int { 1 }
  public var parameters: [DistributionParameter] { [.init("concentration", concentration, .positive)] }

  public func sample(_ draw: Draw) -> Tensor {
    guard concentration.shape.rank > 0, draw.shape.last == concentration.shape.last else { return refused }
    return draw.replacingAxes(last: 1, with: .scalar).dirichlet(concentration)
      .clamped(to: .leastNormalMagnitude...(1 - .ulpOfOne))
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    guard concentration.shape.rank > 0, value.shape.last == concentration.shape.last else { return refused }
    return vectorLogDensity(.dirichlet, value, concentration).summingLast(reducing)
  }

  private var refused: Tensor {
    Tensor.mismatch(
      "Dirichlet", of: tensors, shapes: [concentration.shape],
      "needs an axis of concentrations, as long as the event")
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Dirichlet {
    Dirichlet(transform(concentration))
  }
}
