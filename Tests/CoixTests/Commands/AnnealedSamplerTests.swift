import Coix
import ExampleModels
import Testing

/// What the golden files don't have of the annealed sampler: paths that aren't learned, other numbers of targets,
/// and ways to train without resampling.
@Suite struct AnnealedSamplerTests {
  private let plate = Plate("particle", count: 2_000)

  @Test(arguments: [2, 3, 5])
  func linearPathRisesInEqualSteps(_ targets: Int) {
    let sampler = AnnealedSampler(targets: targets, learnsPath: false)
    #expect(sampler.targetCount == targets)
    let expected = (0..<targets).map { Float($0) / Float(targets - 1) }
    #expect(sampler.inverseTemperatures.map(\.scalar) == expected)
  }

  /// sigmoid(t₀), sigmoid(t₀ + softplus(t₁)), … in between.
  @Test func learnedPathRises() {
    let found = AnnealedSampler(targets: 4).inverseTemperatures.map(\.scalar)
    let expected: [Float] = [0, 0.26894143, 0.33480525, 1]
    #expect(zip(found, expected).allSatisfy { abs($0 - $1) < 1e-6 })
    #expect(AnnealedSampler(targets: 3).inverseTemperatures.map(\.scalar) == [0, found[1], 1])
    #expect(AnnealedSampler(targets: 2).temperatures == nil)
  }

  /// The losses change nothing about the particles.
  @Test(arguments: AnnealedSampler.Method.allCases)
  func trainingHasTheWeightsOfTheInference(_ method: AnnealedSampler.Method) throws {
    let sampler = AnnealedSampler(targets: 4)
    let training = try evaluate(sampler.training(plate, by: method), seed: 3)()
    let inference = try evaluate(sampler.inference(plate, resamples: method.resamples), seed: 3)()
    #expect(training.metrics.logWeight.scalars == inference.metrics.logWeight.scalars)
    #expect(training.output.values.scalars == inference.output.values.scalars)
  }

  /// Five standard errors, which the effective sample size tells.
  @Test(arguments: [false, true])
  func weightsAreProper(_ learnsPath: Bool) throws {
    let sampler = AnnealedSampler(targets: 3, learnsPath: learnsPath)
    let particles = Plate("particle", count: 200_000)
    let metrics = try evaluate(sampler.inference(particles, resamples: false), seed: 1)().metrics
    let error = (1 / (try metrics.ess.scalar) - 1 / 200_000).squareRoot()
    #expect(error < 0.1)
    #expect(abs(try metrics.logZ.scalar - 2.0794415) < 5 * error)
  }

  /// Of the whole chain: the mean of the weights' logs, with nothing detached.
  @Test func sviHasTheGradientOfTheEvidenceLowerBound() throws {
    let sampler = AnnealedSampler(targets: 3, learnsPath: false, seed: 4)
    let found = try valueWithGradient(at: sampler) { sampler in
      try evaluate(sampler.training(plate, by: .svi), seed: 5)().metrics.loss
    }
    let bound = try valueWithGradient(at: sampler) { sampler in
      let weight = try evaluate(sampler.inference(plate, resamples: false), seed: 5)().metrics.logWeight
      return -weight.mean()
    }
    #expect(abs(found.value - bound.value) < 1e-4 * abs(bound.value))
    #expect(greatestDifference(found.gradient, bound.gradient) < 1e-4)
    let avo = try valueWithGradient(at: sampler) { sampler in
      try evaluate(sampler.training(plate, by: .avo), seed: 5)().metrics.loss
    }
    #expect(avo.value == found.value)
    #expect(greatestDifference(found.gradient, avo.gradient) > 1e-2)
  }

  @Test(arguments: [0, 1, 3, 7])
  func inferenceStopsAtATarget(_ target: Int) throws {
    let options = EvaluationOptions(steps: true)
    let program = AnnealedSampler().inference(plate, resamples: false, target: target)
    let result = try evaluate(program, seed: 0, options: options)()
    #expect(result.steps.count == target)
    #expect(result.output.values.shape == [2_000, 2])
  }
}
