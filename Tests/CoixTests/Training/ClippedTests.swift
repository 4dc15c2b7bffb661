import Coix
import Testing

/// Gradients that are scaled down. `OptaxTests` compares whole trajectories.
@Suite struct ClippedTests {
  /// The step that a gradient makes at a rate of 1.
  private func step(_ gradient: [Tensor], norm: Float) throws -> [[Float]] {
    var parameters = gradient.map { Tensor.zeros($0.shape) }
    var rule = SGD<[Tensor]>(learningRate: 1).clipped(toGlobalNorm: norm)
    #expect(try rule.update(&parameters, along: gradient))
    #expect(rule.stepCount == 1 && rule.skippedCount == 0)
    return parameters.map { (-$0).scalars }
  }

  @Test func gradientsAreScaledDownAndNeverUp() throws {
    #expect(try step([[3, 0], 4], norm: 5) == [[3, 0], [4]])
    #expect(try step([[3, 0], 4], norm: 10) == [[3, 0], [4]])
    #expect(try step([[3, 0], 4], norm: 2.5) == [[1.5, 0], [2]])
    #expect(try step([[0, 0], 0], norm: 1) == [[0, 0], [0]])
    #expect(try step([], norm: 1) == [])
  }

  /// A norm whose square is no float.
  @Test func hugeGradients() throws {
    let found = try step([[3e30, 0], 4e30], norm: 5)
    #expect((found[0][0] - 3).magnitude < 1e-5 && found[0][1] == 0 && (found[1][0] - 4).magnitude < 1e-5)
    #expect(try step([[3e30, 0], 4e30], norm: 1e31) == [[3e30, 0], [4e30]])
  }

  /// What is not finite goes to the optimiser as it is, which names it.
  @Test(arguments: [Float.nan, .infinity, -.infinity])
  func gradientsThatAreNotFinite(_ number: Float) throws {
    let start = ["a": Tensor([1, 2]), "b": Tensor(3)]
    var (parameters, rule) = (start, Adam(for: start).clipped(toGlobalNorm: 1))
    #expect(try !rule.update(&parameters, along: ["a": Tensor([1, 2]), "b": Tensor(number)]))
    #expect(rule.skippedCount == 1 && rule.stepCount == 0)
    #expect(rule.lastSkippedStep?.description == "the gradient of parameter \"b\" is \(number)")
    #expect(parameters.mapValues(\.scalars) == start.mapValues(\.scalars))
  }

  @Test func stateAndSettings() throws {
    let adam = Adam(for: Tensor(1), learningRate: 0.5)
    var clipped = adam.clipped(toGlobalNorm: 1)
    #expect(clipped.namedTensors.map(\.name) == adam.namedTensors.map(\.name))
    #expect(clipped.norm == 1)
    clipped.rule.learningRate = 0.25
    #expect(clipped.rule.learningRate(0).scalar == 0.25)
    for norm in [0, -1, .nan, .infinity] as [Float] {
      var (x, rule) = (Tensor(1), adam.clipped(toGlobalNorm: norm))
      #expect(
        message { try rule.update(&x, along: 1) }
          == "Clipped: the norm must be positive and finite, is \(norm)")
      #expect(x.scalar == 1)
    }
  }
}
