import CoixParallel

/// A finite mixture of distributions from one family: density Σ w_k p_k(x).
///
/// Draws and keys are those of NumPyro's `MixtureSameFamily`: a draw of every component, of which one is
/// chosen. Gradients of draws flow to the chosen component only, not to the weights.
public struct Mixture<Component: Distribution>: Distribution {
  private let weights: Categorical
  private let components: Component

  /// A mixture of components that lie along the last batch axis of one distribution, as many as the weights'
  /// categories.
  public init(_ weights: Categorical, of components: Component) {
    self.weights = weights
    self.components = components
  }

  public var shape: Shape {
    let batch = Shape(components.batchShape.dropLast())
    return (Shape.broadcast(weights.shape, batch) ?? batch).appending(components.eventShape)
  }
  public var eventRank: Int { components.eventRank }
  public var parameters: [DistributionParameter] { weights.parameters + components.parameters }

  /// The values of all components; nil if the components have no finite support, or if elements of the batch
  /// would have different numbers of values.
  public var finiteSupport: FiniteSupport? {
    guard let support = components.finiteSupport else { return nil }
    guard isConsistent else { return FiniteSupport(points: [refused]) }
    let supports = (0..<weights.count).map { component in
      FiniteSupport(
        points: support.points.map { $0.selecting(component, axis: -1 - eventRank) },
        elementRank: support.elementRank)
    }
    return .union(supports, shape: shape)
  }

  public func sample(_ draw: Draw) -> Tensor {
    guard isConsistent, draw.shape.rank >= eventRank else { return refused }
    let (componentKey, choiceKey) = draw.key.split()
    let event = Shape([weights.count]).appending(components.eventShape)
    let samples = components.stretchedSample(
      draw.with(key: componentKey).replacingAxes(last: eventRank, with: event))
    return weights.chosen(among: samples, eventRank, draw.with(key: choiceKey))
  }

  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    guard isConsistent else { return refused }
    return weights.mixed(components.logProb(of: value.expandingAxis(at: -1 - eventRank)))
      .summingLast(reducing)
  }

  private var isConsistent: Bool { components.hasEventAxes && components.batchShape.last == weights.count }

  private var refused: Tensor {
    Tensor.mismatch(
      "Mixture", of: tensors, shapes: [weights.shape.appending([weights.count]), components.shape],
      "needs as many components, along the last batch axis, as weights, and their event axes")
  }

  public func mapParameters(_ transform: (Tensor) -> Tensor) -> Mixture {
    Mixture(weights.mapParameters(transform), of: components.mapParameters(transform))
  }
}

extension Categorical {
  /// For each element of a draw, the chosen one of the samples, which lie along the axis before the event.
  func chosen(among samples: Tensor, _ eventRank: Int, _ draw: Draw) -> Tensor {
    let choice = stretchedSample(draw.replacingAxes(last: eventRank, with: .scalar)).oneHot(depth: count)
    func chosen(_ samples: Tensor, _ eventRank: Int) -> Tensor {
      select(choice.expandingLastAxes(eventRank), samples, 0).sum(axis: -1 - eventRank)
        .remembering(asEventsOf: samples, eventRank, chosen)
    }
    return chosen(samples, eventRank)
  }

  /// The mixture's log-density, from the components' log-densities along the last axis.
  func mixed(_ densities: Tensor) -> Tensor {
    let logWeights = logProbabilities.logSoftmax(axis: -1)
    // A component with weight zero does not count, whatever its density.
    return (logWeights + select(logWeights .== -.infinity, 0, densities)).logSumExp(axis: -1)
  }
}
