import Coix
import Testing

/// Gradients against central differences, for the algorithms whose gradient estimate is a derivative.
///
/// Left out are those that stop gradients on purpose: sviSTL, rws, apgs, nasmc, nviFKL and nviRKL; and aft
/// and nviAVO of more than one step, where each step hands on values without gradients.
@Suite struct AlgorithmGradientTests {
  static let plate = Plate("particle", count: 8, chunkRows: 16)

  /// The gradient of the loss is that of the loss's own value.
  @Test(arguments: [
    AlgorithmExample.guided("svi"), .annealed("nvi_avo", "list", count: 2),
    .annealed("nvi_avo", "loop", count: 2), .annealed("aft", "list", count: 2),
    .annealed("aft", "loop", count: 2),
  ])
  func ofTheLoss(_ example: AlgorithmExample) throws {
    try expectGradient(at: example.parameters) { parameters in
      let result = try example.program(Self.plate, at: parameters).run(3, EvaluationOptions())
      return (try result.metrics.loss, [])
    }
  }

  /// The gradient of the loss is that of -log Z, given the ancestors.
  @Test(arguments: [
    AlgorithmExample.guided("svi_iwae"), .annealed("dais", "list"), .annealed("dais", "loop"),
    .annealed("dais", "loop", count: 2), .annealed("vsmc", "list", count: 1),
    .annealed("vsmc", "loop", count: 1), .stateSpace("vsmc", "list", steps: 3),
    .stateSpace("vsmc", "loop", steps: 3),
  ])
  func ofTheEvidence(_ example: AlgorithmExample) throws {
    func result(_ parameters: [String: Tensor]) throws -> AlgosProgram.Result {
      try example.program(Self.plate, at: parameters).run(3, EvaluationOptions())
    }
    func loss(_ parameters: [String: Tensor]) throws -> Tensor {
      try result(parameters).metrics.loss
    }
    func evidence(_ parameters: [String: Tensor]) throws -> (value: Tensor, decisions: [Float]) {
      let result = try result(parameters)
      // Particles of one ancestor have its first state in common.
      let first = result.trace["z0"]?.value.scalars ?? []
      let families = first.map { z in Float(first.firstIndex(of: z) ?? -1) }
      return (-(try result.metrics.logZ), families)
    }
    try expectGradient(at: example.parameters, ofLoss: loss, evidence)
  }
}
