import CoixParallel

/// A finite mixture of distributions from different families with one event shape: density Σ w_k p_k(x).
///
/// Draws and keys are those of NumPyro's `MixtureGeneral`; see ``Mixture`` for gradients.
public struct GeneralMixture: Distribution {
  private let weights: Categorical
  private let components: [any Distribution]

  /// A mixture of as many components as the weights have categories.
  public init(_ weights: Categorical, of components: [any Distribution]) {
    self.weights = weights
    self.components = components
  }

  public var shape: Shape {
    let batch = components.reduce(weights.shape) { Shape.broadcast($0, $1.batchShape) ?? $0 }
    return batch.appending(components.first?.eventShape ?? .scalar)
  }
  public var eventRank: Int { components.first?.eventRank ?? 0 }
  public var parameters: [DistributionParameter] {
    weights.parameters + components.flatMap(\.parameters)
  }

  /// The values of all components; nil if a component has no finite support, or if elements of the batch
  /// would have different numbers of values.
  public var finiteSupport: FiniteSupport? {
    guard isConsistent else { return FiniteSupport(points: [refused]) }
    let supports = components.compactMap(\.finiteSupport)
    return supports.count == components.count ? .union(supports, shape: shape) : nil
  }

  public func sample(_ draw: Draw) -> Tensor {
    guard isConsistent, draw.shape.rank >= eventRank else { return refused }
    let (componentKey, choiceKey) = draw.key.split()
    let samples = zip(components, componentKey.split(into: components.count)).map { component, key in
      component.stretchedSample(draw.with(key: key))
    }
    return weights.chosen(
      among: .stack(samples, axis: -1 - eventRank), eventRank, draw.with(key: choiceKey))
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    guard isConsistent else { return refused }
    let densities = components.map { $0.logProb(of: value) }
    let batch = densities.reduce(Shape.scalar) { Shape.broadcast($0, $1.shape) ?? $0 }
    return weights.mixed(.stack(densities.map { $0.broadcast(to: batch) }, axis: -1)).summingLast(reducing)
  }

  private var isConsistent: Bool {
    !components.isEmpty && components.count == weights.count
      && components.allSatisfy {
        $0.hasEventAxes && $0.eventRank == eventRank && $0.eventShape == components[0].eventShape
      }
  }

  private var refused: Tensor {
    Tensor.mismatch(
      "GeneralMixture", [weights.shape.appending([weights.count])] + components.map(\.shape),
      "needs as many components as weights, of one event shape")
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> GeneralMixture {
    GeneralMixture(
      weights.mapParameters(transform),
      of: components.map { component -> any Distribution in component.mapParameters(transform) })
  }
}
