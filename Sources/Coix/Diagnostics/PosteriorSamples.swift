import CoixParallel

/// The weighted particles of an evaluation, to be written into a file for ArviZ:
/// `try evaluation.posteriorSamples().write(npz: "posterior.npz")`.
///
/// As a tree it has these names, which are those of the file's arrays:
///
/// | name | shape | |
/// | --- | --- | --- |
/// | `posterior/z` | `[1, particles, instances…, local…, event…]` | the latent site `z`: particles are the draws of one chain |
/// | `sample_stats/log_weight` | `[1, particles, instances…]` | |
/// | `log_evidence` | `[steps]` | log Z after each step; see ``EvaluationOptions/steps`` |
/// | `plates/points` | `[]` | for a plate of instances called `points`: the position of its axis, 2 for the first |
///
/// `scripts/coix_arviz.py` makes ArviZ's data of such a file.
public struct PosteriorSamples: TensorTree {
  /// The latent sites' values, `[1, particles, instances…, local…, event…]`, by name. Sites of auxiliary programs,
  /// whose names end in `_PREV_`, are left out.
  public private(set) var posterior: [String: Tensor]
  /// The particles' log-weights, `[1, particles, instances…]`.
  public private(set) var logWeight: Tensor
  /// The log of the estimated evidence after each step, `[steps]`, summed over instances. If the steps were not asked for, or
  /// if there are none, that of the whole evaluation alone; nothing for a single particle.
  public private(set) var logEvidence: Tensor
  /// The axis of each plate of instances, by the plate's name.
  public private(set) var plates: [String: Tensor]

  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    func visit(_ group: String, _ tensors: inout [String: Tensor]) throws {
      for name in tensors.keys.sorted() {
        guard var tensor = tensors[name] else { continue }
        try visitor.visit("\(group)/\(name)", &tensor)
        tensors[name] = tensor
      }
    }
    try visit("posterior", &posterior)
    try visitor.visit("sample_stats/log_weight", &logWeight)
    try visitor.visit("log_evidence", &logEvidence)
    try visit("plates", &plates)
  }
}

extension Evaluation {
  /// The particles and their weights, as ArviZ names them.
  ///
  /// An evaluation without particles is a single draw.
  ///
  /// - Throws: `CoixError.argument(_:)` if the evaluation has kept no trace, or if an instance plate is called "chain" or
  ///   "draw", as ArviZ's own axes are; `CoixError.weights(instance:reason:)` as for ``logEvidence(_:)``;
  ///   `CoixError.shape(operation:shapes:reason:)` for a site that has no axis left for the chain.
  public func posteriorSamples() throws -> PosteriorSamples {
    guard keep == .everything else {
      throw CoixError.argument(
        "the evaluation has kept no trace: EvaluationOptions(keep: .everything) does")
    }
    let draws = Shape(hasParticles ? [1] : [1, 1])
    func asDraws(_ tensor: Tensor) throws -> Tensor {
      try tensor.reshaped(to: draws.appending(tensor.shape)).validated()
    }
    let instances = plates.dropFirst(hasParticles ? 1 : 0)
    if let plate = instances.first(where: { ["chain", "draw"].contains($0.name) }) {
      throw CoixError.argument(
        "posteriorSamples: \"\(plate.name)\" is ArviZ's name for an axis of its own; give the plate another one"
      )
    }
    return PosteriorSamples(
      posterior: try Dictionary(
        latents.map { ($0.name, try asDraws($0.value)) }, uniquingKeysWith: { first, _ in first }),
      logWeight: try asDraws(logWeights),
      logEvidence: Tensor(steps.isEmpty ? try finalLogZ.map { [$0] } ?? [] : steps.map(\.logZ)),
      plates: Dictionary(
        instances.enumerated().map { ($1.name, Tensor(Float($0 + 2))) },
        uniquingKeysWith: { first, _ in first }))
  }
  /// The log of the evidence in the end, also of a program that only weighs its particles; nil if there is none.
  private var finalLogZ: Float? {
    get throws {
      if let logZ = try? metrics.logZ { return logZ.scalar }
      return hasParticles ? try Coix.logEvidence(logWeights).sum().scalar : nil
    }
  }

  /// The sites that a posterior is about: latent ones, but for those of auxiliary programs.
  var latents: [Site] { trace.marginal.sites.filter { !$0.isObserved } }

  /// The log-weights `[particles, instances…]`. Of a program without weights the metrics have one number for all particles.
  var logWeights: Tensor {
    let (weight, batch) = (metrics.logWeight, Shape(plates.map(\.count)))
    return weight.shape == .scalar ? weight.broadcast(to: batch) : weight.reshaped(to: batch)
  }
}
