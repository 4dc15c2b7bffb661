import Coix
import Foundation
import Testing

/// Gradients of what an evaluation returns, against central differences and closed forms.
@Suite struct ProgramGradientTests {
  /// What a gradient may be asked of.
  enum Reading: String, CaseIterable, Sendable {
    case loss, logZ, ess, logDensity, sumOfLogWeights, output, siteValue, siteLogProb

    func value(_ evaluation: Evaluation<Tuple<Tensor>>, site: String) throws -> Tensor {
      switch self {
      case .loss: try evaluation.metrics.loss
      case .logZ: try evaluation.metrics.logZ
      case .ess: try evaluation.metrics.ess
      case .logDensity: try evaluation.metrics.logDensity
      case .sumOfLogWeights: evaluation.metrics.logWeight.sum()
      case .output: sin(evaluation.output.values).mean()
      case .siteValue: sin(try required(evaluation.trace[site]?.value)).mean()
      case .siteLogProb: try required(evaluation.trace[site]?.logProb).mean()
      }
    }
  }

  /// Losses whose gradient is that of their value: one that goes backward at once, one after the barrier.
  /// (The weights in IWAE, and the incoming ones in the ELBO, have no gradient.)
  static let objectives = [Objective.elbo, .weighted]

  /// One proposal: each metric.
  @Test(arguments: Reading.allCases)
  func proposals(_ reading: Reading) throws {
    let plate = Plate("particle", count: 40, chunkRows: 16)
    for objective in Self.objectives {
      try expectGradient(at: ChainParameters()) { parameters in
        let inference = propose(
          parameters.target(plate),
          plate(compose(parameters.kernel, parameters.proposalWithData, suffix: false)), loss: objective)
        let evaluation = try evaluate(inference, seed: 11)(chainData)
        return (try reading.value(evaluation, site: "y"), [])
      }
    }
  }

  /// The target fed with the proposal's output.
  @Test(arguments: Reading.allCases)
  func chainedProposals(_ reading: Reading) throws {
    let plate = Plate("particle", count: 40, chunkRows: 16)
    try expectGradient(at: ChainParameters()) { parameters in
      let inference = propose(
        plate(parameters.continuation), chaining: plate(parameters.proposalWithData), loss: .weighted)
      let evaluation = try evaluate(inference, seed: 11)(chainData)
      return (try reading.value(evaluation, site: "y"), [])
    }
  }

  /// A resampling in between: ancestors are fixed, values and weights flow through the gather.
  @Test(arguments: Reading.allCases)
  func resampling(_ reading: Reading) throws {
    let plate = Plate("particle", count: 6)
    for objective in Self.objectives {
      try expectGradient(at: ChainParameters()) { parameters in
        let tagged = Kernel { (trace, x: Tensor) in
          // A number that tells the ancestors from each other and depends on no parameter.
          _ = trace.sample("tag", from: Normal(0, 1))
          return trace.sample(
            "z", from: Normal(parameters.proposalMean + 0.25 * x[0], exp(parameters.proposalLogScale)))
        }
        let taggedModel = Model { (trace, x: Tensor) in
          let tag = trace.sample("tag", from: Normal(0, 1))
          let z = trace.sample("z", from: Normal(parameters.modelMean, 1))
          trace.observe("x1", x[0], from: Normal(z, 0.7))
          return (z, x, tag)
        }
        let taggedKernel = Kernel { (trace, z: Tensor, x: Tensor, _: Tensor) in
          trace.sample(
            "y", from: Normal(parameters.kernelSlope * z + 0.25 * x[1], exp(parameters.kernelLogScale)))
        }
        let taggedContinuation = Model { (trace, z: Tensor, x: Tensor, _: Tensor) in
          let y = trace.sample("y", from: Normal(parameters.targetSlope * z, 1))
          trace.observe("x2", x[1], from: Normal(y, 0.7))
          return y
        }
        let first = propose(plate(taggedModel), plate(tagged), loss: objective)
        let inference = propose(
          plate(compose(taggedContinuation, taggedModel, suffix: false)),
          compose(plate(taggedKernel), resample(first)), loss: objective)
        let evaluation = try evaluate(inference, seed: 12)(chainData)
        let tags = try required(evaluation.trace["tag"]?.value).scalars
        #expect(Set(tags).count < tags.count, "some ancestor has several children")
        #expect(Set(tags).count > 1, "and not all have the same")
        return (try reading.value(evaluation, site: "z"), tags)
      }
    }
  }

  /// Without any plate.
  @Test(arguments: [Reading.loss, .logDensity, .sumOfLogWeights, .output, .siteValue, .siteLogProb])
  func unplatedPrograms(_ reading: Reading) throws {
    for objective in Self.objectives {
      try expectGradient(at: ChainParameters()) { parameters in
        let inference = propose(
          compose(parameters.continuation, parameters.model, suffix: false),
          compose(
            parameters.kernel, resample(propose(parameters.model, parameters.proposal, loss: objective))),
          loss: objective)
        let evaluation = try evaluate(inference, seed: 11)(chainData)
        return (try reading.value(evaluation, site: "y"), [])
      }
    }
  }

  /// Nested plates, with data of one's own for each instance.
  @Test(arguments: Reading.allCases)
  func nestedPlates(_ reading: Reading) throws {
    let particles = Plate("particle", count: 20, chunkRows: 16)
    let instances = Plate("instance", count: 3)
    let points = Draw(key: 9, shape: [3, 2]).normal()
    try expectGradient(at: ChainParameters()) { parameters in
      let inference = propose(
        particles(instances(compose(parameters.continuation, parameters.model, suffix: false))),
        particles(instances(compose(parameters.kernel, parameters.proposalWithData, suffix: false))),
        loss: .weighted)
      let evaluation = try evaluate(inference, seed: 11)(instances.mapped(points))
      return (try reading.value(evaluation, site: "y"), [])
    }
  }

  /// A gradient with respect to the data itself: uniform, and mapped over the plate.
  @Test(arguments: [Reading.loss, .logZ, .sumOfLogWeights])
  func data(_ reading: Reading) throws {
    let plate = Plate("particle", count: 20, chunkRows: 16)
    for objective in Self.objectives {
      func value(_ data: Tensor) throws -> (value: Tensor, decisions: [Float]) {
        let parameters = ChainParameters()
        let inference = propose(
          plate(parameters.continuation), chaining: plate(parameters.proposalWithData), loss: objective)
        return (try reading.value(evaluate(inference, seed: 11)(data), site: "y"), [])
      }
      try expectGradient(at: chainData) { try value($0) }
      try expectGradient(at: Draw(key: 9, shape: [20, 2]).normal()) { try value(plate.mapped($0)) }
    }
  }

  /// The gradient of IWAE is that of -log Z, summed over instances.
  @Test func importanceWeightedLoss() throws {
    let particles = Plate("particle", count: 20, chunkRows: 16)
    let instances = Plate("instance", count: 3)
    let points = Draw(key: 9, shape: [3, 2]).normal()
    func gradient(_ reading: (Metrics) throws -> Tensor) throws -> ChainParameters {
      try valueWithGradient(at: ChainParameters()) { parameters in
        let inference = propose(
          particles(instances(parameters.model)), particles(instances(parameters.proposal)), loss: .iwae)
        return try reading(try evaluate(inference, seed: 11)(instances.mapped(points)).metrics)
      }.gradient
    }
    let loss = try gradient { try $0.loss }
    #expect(try greatestDifference(loss, gradient { -(try $0.logZ) }) < 1e-6)
    #expect(loss.proposalMean.scalar.magnitude > 1e-3)
  }

  /// A proposal that observes carries a weight of its own into the ELBO.
  @Test func weightedProposals() throws {
    let plate = Plate("particle", count: 40, chunkRows: 16)
    try expectGradient(at: ChainParameters()) { parameters in
      let guide = Model { (trace, x: Tensor) in
        let z = trace.sample("z", from: Normal(parameters.proposalMean, exp(parameters.proposalLogScale)))
        trace.observe("hint", x[1], from: Normal(parameters.kernelSlope * z, 1))
        return z
      }
      let inference = propose(plate(parameters.model), plate(guide), loss: .weighted)
      return (try evaluate(inference, seed: 11)(chainData).metrics.loss, [])
    }
  }
}

extension ChainParameters {
  /// The first proposal, handing the observations on.
  var proposalWithData: Kernel<Tuple<Tensor>, Tuple<Tensor, Tensor>> {
    Kernel { [self] (trace, x: Tensor) in
      let z = trace.sample("z", from: Normal(proposalMean + 0.25 * x[0], exp(proposalLogScale)))
      return (z, x)
    }
  }
}

extension Objective {
  /// -Σ w log v like the ELBO, with a gradient through the incoming weights w, so that differences can be
  /// compared with it.
  static let weighted = Objective("weighted") { inputs in
    guard inputs.incomingLogWeight.shape.rank > 0 else { return -inputs.incrementalLogWeight }
    return -(inputs.incomingLogWeight.softmax(axis: 0) * inputs.incrementalLogWeight)
  }
}
