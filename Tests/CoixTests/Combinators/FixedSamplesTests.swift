import Coix
import Foundation
import Testing

/// Objectives that are sums of log-probabilities at fixed samples fix what the proposal draws.
@Suite struct FixedSamplesTests {
  private static let particles = Plate("particle", count: 60, chunkRows: 16)
  private static let normal = ConjugateNormal()

  private typealias Proposal = Kernel<Tuple<>, Tuple<Tensor>>

  /// A proposal with a location and the logarithm of a scale.
  private static func proposal(_ parameters: [Tensor]) -> Proposal {
    ConjugateNormal.proposal(parameters[0], exp(parameters[1]))
  }

  private func gradient(_ objective: Objective, _ transform: @Sendable (Proposal) -> Proposal) throws
    -> [[Float]]
  {
    let result = try valueWithGradient(at: [0.3, -0.2] as [Tensor]) { parameters in
      let inference = propose(
        Self.particles(Self.normal.model), Self.particles(transform(Self.proposal(parameters))),
        loss: objective)
      return try evaluate(inference, seed: 4)().metrics.loss
    }
    return [[result.value]] + result.gradient.map(\.scalars)
  }

  @Test func detachingIsNotLeftToTheCaller() throws {
    for objective in [Objective.rws, .fkl, .apg] {
      let own = try gradient(objective) { $0 }
      #expect(own == (try gradient(objective) { detach($0) }), "\(objective.name)")
      // There is no block of variables to move here.
      #expect(own[1] != [0] && own[2] != [0] || objective.name == "apg", "\(objective.name)")
    }
    // Those whose gradients go through the samples.
    for objective in [Objective.elbo, .iwae] {
      #expect(try gradient(objective) { $0 } != gradient(objective) { detach($0) }, "\(objective.name)")
    }
  }

  /// -Σ W ∇ log q(z), with the samples' own weights.
  @Test func reweightedWakeSleepByHand() throws {
    let (location, scale) = (Double(Float(0.3)), exp(Double(Float(-0.2))))
    let inference = propose(
      Self.particles(Self.normal.model), Self.particles(Self.proposal([0.3, -0.2])))
    let result = try evaluate(inference, seed: 4)()
    let z = try required(result.trace["z"]?.value).scalars.map { (Double($0) - location) / scale }
    let weights = try required(result.metrics.logWeight).scalars.map { exp(Double($0)) }
    let total = weights.reduce(0, +)
    let slopes = [
      -zip(weights, z).reduce(0) { $0 + $1.0 * $1.1 / scale } / total,
      -zip(weights, z).reduce(0) { $0 + $1.0 * ($1.1 * $1.1 - 1) } / total,
    ]
    let found = try gradient(.rws) { $0 }
    for (slope, expected) in zip(found[1...], slopes) {
      #expect(abs(Double(slope[0]) - expected) < 1e-5 * (1 + abs(expected)))
    }
  }

  /// The proposal finds the posterior, although nobody has detached it.
  @Test func reweightedWakeSleepTrains() throws {
    let start = [Tensor(-1), Tensor(0.5)]
    let plate = Plate("particle", count: 100)
    let trained = try train(start, by: Adam(for: start, learningRate: 0.02), steps: 600, seed: 0) {
      parameters, key in
      let inference = propose(plate(Self.normal.model), plate(Self.proposal(parameters)), loss: .rws)
      return try evaluate(inference, seed: key)().metrics.loss
    }.parameters
    let (mean, scale) = Self.normal.posterior
    #expect(abs(Double(trained[0].scalar) - mean) < 0.1)
    #expect(abs(exp(Double(trained[1].scalar)) - scale) < 0.1)
  }

  /// Programs within the proposal are treated the same, unless they have an objective of their own.
  @Test func programsWithinTheProposal() throws {
    typealias Nested = Inference<Tuple<>, Tuple<Tensor>>
    typealias Nest =
      @Sendable (Kernel<Tuple<>, Tuple<Tensor>>, Model<Tuple<>, Tuple<Tensor>>) throws -> Nested
    func slope(_ isDetached: Bool, _ nest: Nest) throws -> Float {
      let result = try valueWithGradient(at: Tensor(0.3)) { location in
        let kernel = ConjugateNormal.proposal(location, 0.8)
        let model = Model { trace in
          let z = trace.sample("z", from: Normal(location, 1))
          trace.observe("y", 1, from: Normal(z, 2))
          return z
        }
        let nested = try nest(Self.particles(isDetached ? detach(kernel) : kernel), Self.particles(model))
        let inference = propose(Self.particles(Self.normal.model), nested, loss: .rws)
        return try evaluate(inference, seed: 5)().metrics.loss
      }
      return result.gradient.scalar
    }
    let without: [Nest] = [
      { kernel, _ in resample(kernel) }, { kernel, model in propose(model, kernel) },
      { kernel, model in foriLoop(0..<1, initial: kernel) { _, q in propose(model, resample(q)) } },
      { kernel, model in memoize(model, kernel, size: 60) },
    ]
    for (index, nest) in without.enumerated() {
      let own = try slope(false, nest)
      #expect(own == (try slope(true, nest)) && own != 0, "\(index)")
    }
    let nest: Nest = { kernel, model in propose(model, kernel, loss: .elbo) }
    #expect(try slope(false, nest) != slope(true, nest))
  }
}
