import Coix
import Foundation
import Testing

/// Statistics under weights, and what is reported of each step.
@Suite struct WeightedStatisticsTests {
  static let values: Tensor = [3, -1, 2, 5, 0]
  static let logWeights = Tensor([1, 2, 3, 0.5, 3.5].map { Foundation.log($0) })

  @Test func byHand() throws {
    // By numpy: weights w / Σ w.
    #expect(abs(try weightedMean(of: Self.values, logWeights: Self.logWeights).scalar - 0.95) < 1e-6)
    #expect(abs(try weightedVariance(of: Self.values, logWeights: Self.logWeights).scalar - 2.6475) < 1e-6)
    #expect(abs(try effectiveSampleSize(Self.logWeights).scalar - 3.7735849) < 1e-6)
    #expect(abs(try logEvidence(Self.logWeights).scalar - log(2)) < 1e-6)
    // Cumulative weights: -1 at 0.2, 0 at 0.55, 2 at 0.85, 3 at 0.95, 5 at 1.
    let levels = [0, 0.1, 0.3, 0.5, 0.6, 0.9, 0.99, 1]
    let quantiles = try weightedQuantiles(levels, of: Self.values, logWeights: Self.logWeights)
    #expect(quantiles.scalars == [-1, -1, 0, 0, 2, 3, 5, 5])
    // Particles of weight zero are not there, not even a NaN of theirs.
    let some = Tensor([-.infinity, 0, 0, -.infinity, -.infinity])
    #expect(try weightedQuantiles([0, 0.5, 1], of: Self.values, logWeights: some).scalars == [-1, -1, 2])
    #expect(try weightedMean(of: [.nan, 1, 2, .infinity, 0], logWeights: some).scalar == 1.5)
    #expect(try weightedQuantiles([0, 1], of: [.nan, 1, 2, 3, 0], logWeights: some).scalars == [1, 2])
    #expect(try weightedQuantiles([0], of: [0, 1, .nan, 3, 0], logWeights: some).scalar.isNaN)
    // Large log-weights, small differences.
    let huge = Tensor([1e4, 1e4, -1e4, -1e4, -1e4])
    #expect(try weightedMean(of: Self.values, logWeights: huge).scalar == 1)
    #expect(try effectiveSampleSize(huge).scalar == 2)
    // Also where the sum's logarithm is nothing beside the greatest.
    for size in [1e13, 1e15, 1e17, 3e38] as [Float] {
      #expect(try weightedMean(of: [3, -1, 1], logWeights: [size, -size, size]).scalar == 2)
      #expect(try weightedVariance(of: [3, -1, 1], logWeights: [size, -size, size]).scalar == 1)
    }
  }

  @Test func instancesAndEvents() throws {
    let (particles, instances, event) = (50, 3, 4)
    let values = Draw(key: 1, shape: [particles, instances, event]).normal()
    let logWeights = Draw(key: 2, shape: [particles, instances]).normal()
    let mean = try weightedMean(of: values, logWeights: logWeights)
    let variance = try weightedVariance(of: values, logWeights: logWeights)
    let quantiles = try weightedQuantiles([0.2, 0.9], of: values, logWeights: logWeights)
    #expect(mean.shape == [3, 4])
    #expect(variance.shape == [3, 4])
    #expect(quantiles.shape == [2, 3, 4])
    for instance in 0..<instances {
      let weights = logWeights.selecting(instance, axis: 1)
      #expect(
        try effectiveSampleSize(weights).scalar == effectiveSampleSize(logWeights).scalars[instance])
      #expect(try logEvidence(weights).scalar == logEvidence(logWeights).scalars[instance])
      for element in 0..<event {
        let column = values.selecting(instance, axis: 1).selecting(element, axis: 1)
        let index = instance * event + element
        #expect(try weightedMean(of: column, logWeights: weights).scalar == mean.scalars[index])
        #expect(try weightedVariance(of: column, logWeights: weights).scalar == variance.scalars[index])
        let alone = try weightedQuantiles([0.2, 0.9], of: column, logWeights: weights).scalars
        #expect(alone == [quantiles.scalars[index], quantiles.scalars[12 + index]])
      }
    }
  }

  @Test func sitesOfAnEvaluation() throws {
    let normal = ConjugateNormal()
    let plate = Plate("particle", count: 20_000)
    let inference = propose(plate(normal.model), plate(ConjugateNormal.proposal(0.5, 1)))
    let result = try evaluate(inference, seed: 1)()
    let (mean, scale) = normal.posterior
    // Standard deviations of about scale / √ESS: 5 of them are 0.02.
    #expect(abs(Double(try result.weightedMean(of: "z").scalar) - mean) < 0.02)
    #expect(abs(Double(try result.weightedVariance(of: "z").scalar) - scale * scale) < 0.02)
    let quantiles = try result.weightedQuantiles([0.158655, 0.5, 0.841345], of: "z").scalars
    for (quantile, z) in zip(quantiles, [-1.0, 0, 1]) {
      #expect(abs(Double(quantile) - (mean + z * scale)) < 0.03)
    }
    #expect(try effectiveSampleSize(result.metrics.logWeight).scalar == result.metrics.ess.scalar)
    #expect(try logEvidence(result.metrics.logWeight).scalar == result.metrics.logZ.scalar)
    #expect(
      message { try result.weightedMean(of: "y") }
        == #"site "y": the evaluation's trace has no such site; there are "z", "x""#)
  }

  @Test func misuse() throws {
    #expect(
      message { try weightedMean(of: Tensor.zeros([4]), logWeights: Self.logWeights) }
        == "weightedMean: the values' first axes must be those of the weights (shapes [4], [5])")
    #expect(
      message { try weightedQuantiles([1.5], of: Self.values, logWeights: Self.logWeights) }
        == "quantiles: levels must lie between 0 and 1, one is 1.5; that of 5 % is 0.05")
    #expect(throws: CoixError.self) {
      try weightedQuantiles([.nan], of: Self.values, logWeights: Self.logWeights)
    }
    #expect(throws: CoixError.self) { try weightedVariance(of: Self.values, logWeights: Tensor([0, .nan])) }
    #expect(throws: CoixError.self) { try weightedMean(of: 1, logWeights: 1) }
    #expect(try weightedMean(of: Tensor.zeros([5, 0]), logWeights: Self.logWeights).shape == [0])
    #expect(try weightedQuantiles([], of: Self.values, logWeights: Self.logWeights).shape == [0])
    let unplated = try evaluate(ConjugateNormal().model, seed: 0)()
    #expect(throws: CoixError.self) { try unplated.weightedMean(of: "z") }
  }

  // MARK: Steps

  private static let reporting = EvaluationOptions(keep: .metrics, steps: true)
  private static let plate = Plate("particle", count: 64)

  /// What evaluations of the parts say of themselves.
  private func expect(
    _ step: StepMetrics, _ metrics: Metrics, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(step.ess == (try? metrics.ess.scalar), sourceLocation: sourceLocation)
    #expect(step.logZ == (try? metrics.logZ.scalar), sourceLocation: sourceLocation)
  }

  @Test func stepsOfAParticleFilter() throws {
    let p = ChainParameters()
    let inference = p.inference(Self.plate, loss: .elbo)
    let result = try evaluate(inference, seed: 5, options: Self.reporting)(chainData)
    #expect(result.steps.map(\.name) == ["propose 1", "resample 1", "propose 2"])
    #expect(result.steps.map(\.kind) == [.propose, .resample, .propose])
    #expect(result.steps.map(\.stage) == [1, 1, 2])
    expect(result.steps[2], result.metrics)
    // Without incoming weights, or with equal ones, the incremental weights are all there is.
    #expect(result.steps[0].incrementalESS == result.steps[0].ess)
    #expect(result.steps[1].incrementalESS == nil)
    #expect(result.steps[1].ess == 64)
    #expect(result.steps[1].logZ == result.steps[0].logZ)
    let incremental = try #require(result.steps[2].incrementalESS)
    #expect(abs(incremental - (result.steps[2].ess ?? .nan)) < 1e-3)
    #expect("\(result.steps[1])" == "resample 1: ESS 64.0, log Z \(result.steps[1].logZ)")
  }

  /// The incremental effective sample size is that of the weights' difference.
  @Test func incrementalWeights() throws {
    let p = ChainParameters()
    // Without a resampling in between, both proposals run in one stage.
    let inference = propose(
      p.target(Self.plate), compose(Self.plate(p.kernel), p.firstStep(Self.plate, loss: nil)))
    let result = try evaluate(inference, seed: 5, options: EvaluationOptions(steps: true))(chainData)
    #expect(result.steps.map(\.name) == ["propose 1", "propose 2"])
    #expect(result.steps.map(\.stage) == [1, 1])
    expect(result.steps[1], result.metrics)
    let (z, y) = (try required(result.trace["z"]?.value), try required(result.trace["y"]?.value))
    let mean = p.kernelSlope * z + 0.25 * chainData[1]
    let kernel = Normal(mean, exp(p.kernelLogScale).broadcast(to: [64])).logProb(of: y)
    let incremental =
      try required(result.trace["y"]?.logProb) + required(result.trace["x2"]?.logProb) - kernel
    #expect(
      abs((result.steps[1].incrementalESS ?? .nan) - (try effectiveSampleSize(incremental).scalar)) < 1e-3)
    let first = try effectiveSampleSize(result.metrics.logWeight - incremental).scalar
    #expect(abs((result.steps[0].ess ?? .nan) - first) < 1e-3)
    // Reporting changes no number.
    var (with, without) = (Bits(), Bits())
    with.add(result)
    without.add(try evaluate(inference, seed: 5)(chainData))
    #expect(with.differences(from: without) == [])
    #expect(try evaluate(inference, seed: 5)(chainData).steps.isEmpty)
  }

  @Test func stepsOfALoop() throws {
    let target = Model { (trace) in
      let x = trace.sample("x", from: Normal(0, 1))
      trace.factor("weight", -0.5 * (x - 1).squared)
      return x
    }
    let kernel = Kernel { (trace, x: Tensor) in trace.sample("x", from: Normal(x, 1)) }
    let guess = Kernel { (trace) in trace.sample("x", from: Normal(0, 2)) }
    let first = propose(Self.plate(target), Self.plate(guess))
    let extended = extend(Self.plate(target), Self.plate(kernel))
    let loop = foriLoop(0..<3, initial: first) { round, program -> Inference<Tuple<>, Tuple<Tensor>> in
      let moved = compose(Self.plate(kernel), round == 1 ? program : resample(program))
      return propose(extended, propose(extended, moved))
    }
    let result = try evaluate(resample(loop, count: .one), seed: 5, options: Self.reporting)()
    #expect(
      result.steps.map(\.name) == [
        "propose 1", "resample 1", "propose 2", "propose 3", "propose 4", "propose 5", "resample 2",
        "propose 6",
        "propose 7", "resample 3",
      ])
    #expect(result.steps.map(\.stage) == [1, 1, 2, 2, 2, 2, 2, 3, 3, 3])
    #expect(result.steps.last?.ess == nil)
    #expect(result.steps.dropLast().allSatisfy { $0.ess ?? 0 >= 1 && $0.logZ.isFinite })
  }

  @Test func stepsOfInstances() throws {
    let instances = Plate("instance", count: 3)
    let p = ChainParameters()
    let inference = propose(
      Self.plate(instances(p.model)),
      resample(propose(Self.plate(instances(p.model)), Self.plate(instances(p.proposal)))),
      loss: .iwae)
    let data = instances.mapped(Tensor([0.9, -0.4, 0.2, 0.1, 1, 2], shape: [3, 2]))
    for threads in [1, 3] {
      let options = EvaluationOptions(workers: try Workers(threads: threads), steps: true)
      let result = try evaluate(inference, seed: 5, options: options)(data)
      #expect(result.steps.count == 3)
      expect(result.steps[2], result.metrics)
    }
    // In a gradient, too, also where the stage takes its gradient while hot; and outside of plates nothing is
    // weighed.
    for loss in [Objective.elbo, .iwae] {
      let proposed = propose(Self.plate(p.model), Self.plate(p.proposal), loss: loss)
      let result = try valueWithGradient(at: p.proposalMean) { mean in
        var p = p
        p.proposalMean = mean
        let proposed = propose(Self.plate(p.model), Self.plate(p.proposal), loss: loss)
        let evaluation = try evaluate(proposed, seed: 1, options: Self.reporting)(chainData)
        #expect(evaluation.steps.count == 1)
        return try evaluation.metrics.loss
      }
      let without = try evaluate(proposed, seed: 1)(chainData).metrics.loss
      #expect(result.value == without.scalar)
      #expect(result.gradient.scalar.isFinite)
    }
    let unplated = try evaluate(propose(p.model, p.proposal), seed: 1, options: Self.reporting)(chainData)
    #expect(unplated.steps.isEmpty)
  }
}
