import Coix
import Testing

/// Gradients through what several evaluations and barriers hand to each other.
@Suite struct BarrierGradientTests {
  static let plate = Plate("particle", count: 6)

  /// Resampling to fewer and to more particles, and to one.
  @Test(arguments: [ParticleCount.exactly(4), .exactly(9), .one])
  func resamplingToOtherCounts(_ count: ParticleCount) throws {
    for reading in [0, 1, 2] {
      try expectGradient(at: ChainParameters()) { parameters in
        let tagged = Model { (trace, x: Tensor) in
          let tag = trace.sample("tag", from: Normal(0, 1))
          let z = trace.sample("z", from: Normal(parameters.proposalMean, exp(parameters.proposalLogScale)))
          trace.observe("x1", x[0], from: Normal(parameters.targetSlope * z, 0.7))
          return (z, tag)
        }
        let evaluation = try evaluate(resample(Self.plate(tagged), count: count), seed: 12)(chainData)
        let (z, tags) = evaluation.output.values
        let value =
          switch reading {
          case 0: evaluation.metrics.logWeight.sum()
          case 1: sin(z).sum()
          default: try required(evaluation.trace["z"]?.logProb).sum()
          }
        return (value, tags.scalars)
      }
    }
  }

  /// Weights of instances are resampled, and differentiated, apart.
  @Test func resamplingNestedPlates() throws {
    let instances = Plate("instance", count: 3)
    let points = Draw(key: 9, shape: [3, 2]).normal()
    try expectGradient(at: ChainParameters()) { parameters in
      let tagged = Model { (trace, x: Tensor) in
        let tag = trace.sample("tag", from: Normal(0, 1))
        let z = trace.sample("z", from: Normal(parameters.proposalMean, exp(parameters.proposalLogScale)))
        trace.observe("x1", x[0], from: Normal(parameters.targetSlope * z, 0.7))
        return (z, tag)
      }
      let evaluation = try evaluate(resample(Self.plate(instances(tagged))), seed: 16)(
        instances.mapped(points))
      let (z, tags) = evaluation.output.values
      let scale = Tensor((0..<18).map { Float($0 % 5) - 2 }, shape: [6, 3])
      return ((sin(z) * scale).sum() + (evaluation.metrics.logWeight * scale).sum(), tags.scalars)
    }
  }

  /// One evaluation's particles, mapped, are the data of the next: importance sampling in two steps by hand.
  @Test func evaluationsInARow() throws {
    try expectGradient(at: ChainParameters()) { parameters in
      let plate = Plate("particle", count: 40, chunkRows: 16)
      let first = try evaluate(parameters.firstStep(plate, loss: .elbo), seed: 1)(chainData)
      let (z, _) = first.output.values
      let second = propose(
        plate(parameters.continuation), plate(parameters.kernel), loss: .weighted)
      let result = try evaluate(second, seed: 2)(plate.mapped(z), chainData)
      let weight = first.metrics.logWeight + result.metrics.logWeight
      let losses = try first.metrics.loss + result.metrics.loss
      return (weight.logSumExp(axis: 0) + losses, [])
    }
  }

  /// The same for a loss that would go backward at once: gradients to mapped data must not be lost.
  @Test func evaluationsInARowWithRowLosses() throws {
    try expectGradient(at: ChainParameters()) { parameters in
      let plate = Plate("particle", count: 40, chunkRows: 16)
      let first = try evaluate(parameters.firstStep(plate, loss: nil), seed: 1)(chainData)
      let second = propose(plate(parameters.continuation), plate(parameters.kernel), loss: .elbo)
      let result = try evaluate(second, seed: 2)(plate.mapped(first.output.values.0), chainData)
      return (try result.metrics.loss, [])
    }
  }

  /// Outputs that are the same for all particles count once for each.
  @Test func uniformOutputs() throws {
    for chunkRows in [16, 100] {
      let result = try valueWithGradient(at: Tensor(3)) { x in
        let kernel = Kernel { (trace) in
          _ = trace.sample("z", from: Normal(0, 1))
          return (x * x, x)
        }
        let plate = Plate("particle", count: 100, chunkRows: chunkRows)
        let (square, same) = try evaluate(plate(kernel), seed: 1)().output.values
        return square.sum() + same.sum()
      }
      #expect(result.value == 1_200)
      #expect(result.gradient.scalar == 700)
    }
  }

  /// The ELBO of a proposal with weights of its own: no longer each particle by itself.
  @Test func weightedELBO() throws {
    let plate = Plate("particle", count: 40, chunkRows: 16)
    func gradient(_ objective: Objective) throws -> ValueWithGradient<ChainParameters> {
      try valueWithGradient(at: ChainParameters()) { parameters in
        let guide = Model { (trace, x: Tensor) in
          let z = trace.sample("z", from: Normal(parameters.proposalMean, exp(parameters.proposalLogScale)))
          trace.observe("hint", x[1], from: Normal(parameters.kernelSlope * z, 1))
          return z
        }
        let inference = propose(plate(parameters.model), plate(guide), loss: objective)
        return try evaluate(inference, seed: 11)(chainData).metrics.loss
      }
    }
    let byHand = Objective("by hand") { inputs in
      -(inputs.incomingLogWeight.softmax(axis: 0).detached * inputs.incrementalLogWeight)
    }
    let (elbo, expected) = (try gradient(.elbo), try gradient(byHand))
    #expect((elbo.value - expected.value).magnitude < 1e-6 * (1 + expected.value.magnitude))
    #expect(greatestDifference(elbo.gradient, expected.gradient) < 1e-6)
    #expect(elbo.gradient.kernelSlope.scalar != 0)
  }

  /// An objective of one's own reads the sites' log-probabilities, with their gradients.
  @Test func objectivesThatReadSites() throws {
    let plate = Plate("particle", count: 40, chunkRows: 16)
    let objective = Objective("sites") { inputs in
      guard let z = inputs.target["z"], let x = inputs.target["x1"], let q = inputs.proposal["z"] else {
        return 0
      }
      return (z.logProb * 2 + x.logProb - q.logProb.squared * 0.25) * Tensor(1 / 40)
    }
    try expectGradient(at: ChainParameters()) { parameters in
      let inference = propose(plate(parameters.model), plate(parameters.proposal), loss: objective)
      return (try evaluate(inference, seed: 11)(chainData).metrics.loss, [])
    }
  }
}
