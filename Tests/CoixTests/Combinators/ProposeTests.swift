import Coix
import Foundation
import Testing

/// `propose`: what enters the weight, what is handed on, and the metrics, against closed forms.
@Suite struct ProposeTests {
  static let plate = Plate("particle", count: 50, chunkRows: 16)

  /// A tensor's numbers, in double.
  private func numbers(_ tensor: Tensor?) throws -> [Double] { try required(tensor).scalars.map(Double.init) }

  private func expectNear(
    _ found: Tensor?, _ expected: [Double], within tolerance: Double = 5e-6,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let found = try numbers(found)
    try #require(found.count == expected.count, sourceLocation: sourceLocation)
    for (found, expected) in zip(found, expected) {
      #expect(
        (found - expected).magnitude <= tolerance * (1 + expected.magnitude), "\(found), \(expected)",
        sourceLocation: sourceLocation)
    }
  }

  // MARK: Weights

  @Test func weightsAndMetrics() throws {
    let normal = ConjugateNormal()
    let inference = propose(
      Self.plate(normal.model), Self.plate(ConjugateNormal.proposal(0.8, 0.7)), loss: .elbo)
    let result = try evaluate(inference, seed: 3)()
    let z = try numbers(result.trace["z"]?.value)
    #expect(result.output.values.scalars == result.trace["z"]?.value.scalars)
    let density = z.map { normalLogDensity($0, 0, 1) + normalLogDensity(1.25, $0, 0.5) }
    let weights = zip(z, density).map { $1 - normalLogDensity($0, Double(Float(0.8)), Double(Float(0.7))) }
    try expectNear(result.metrics.logWeight, weights)
    let greatest = weights.max() ?? 0
    let scaled = weights.map { exp($0 - greatest) }
    let sum = scaled.reduce(0, +)
    try expectNear(result.metrics.logZ, [greatest + log(sum / 50)])
    try expectNear(result.metrics.ess, [sum * sum / scaled.reduce(0) { $0 + $1 * $1 }])
    try expectNear(result.metrics.logDensity, [density.reduce(0, +) / 50])
    try expectNear(result.metrics.loss, [-weights.reduce(0, +) / 50])
  }

  /// The posterior as proposal: all weights are the evidence.
  @Test func thePosteriorAsProposal() throws {
    let normal = ConjugateNormal()
    let posterior = normal.posterior
    let proposal = ConjugateNormal.proposal(Tensor(Float(posterior.mean)), Tensor(Float(posterior.scale)))
    let plate = Plate("particle", count: 10_000)
    let result = try evaluate(propose(plate(normal.model), plate(proposal)), seed: 3)()
    let weights = try numbers(result.metrics.logWeight)
    // The parameters are rounded to 6e-8; z is at most 5 scales away.
    #expect(weights.allSatisfy { ($0 - normal.logEvidence).magnitude < 5e-6 })
    #expect((try numbers(result.metrics.ess)[0] - 10_000).magnitude < 1e-2)
    #expect((try numbers(result.metrics.logZ)[0] - normal.logEvidence).magnitude < 2e-6)
  }

  /// The incremental weight counts the target's sites that are observed or proposed, and the proposal's that
  /// are observed or in the target.
  @Test func missingAndFurtherSites() throws {
    let target = Model { (trace) in
      let a = trace.sample("a", from: Normal(0, 1))
      let b = trace.sample("b", from: Normal(a, 2))
      trace.observe("x", 0.5, from: Normal(b, 1))
      return b
    }
    let proposal = Model { (trace) in
      let a = trace.sample("a", from: Normal(1, 1))
      let c = trace.sample("c", from: Normal(a, 3))
      trace.observe("y", -0.5, from: Normal(c, 1))
      return c
    }
    let result = try evaluate(propose(Self.plate(target), Self.plate(proposal)), seed: 3)()
    #expect(result.trace.names == ["a", "b", "x"], "the target's sites")
    let (a, b) = (try numbers(result.trace["a"]?.value), try numbers(result.trace["b"]?.value))
    let c = try numbers(evaluate(Self.plate(proposal), seed: 3)().trace["c"]?.value)
    #expect(Set(c).count == 50)
    // c is in neither weight; b is in none, since it is drawn from the target itself; the incoming weight of
    // y cancels.
    let weights = a.indices.map {
      normalLogDensity(a[$0], 0, 1) + normalLogDensity(0.5, b[$0], 1) - normalLogDensity(a[$0], 1, 1)
    }
    try expectNear(result.metrics.logWeight, weights)
    let density = a.indices.map {
      normalLogDensity(a[$0], 0, 1) + normalLogDensity(b[$0], a[$0], 2) + normalLogDensity(0.5, b[$0], 1)
    }
    try expectNear(result.metrics.logDensity, [density.reduce(0, +) / 50])
  }

  /// A proposal that observes has a weight, which comes in.
  @Test func weightedProposals() throws {
    let guide = Model { (trace) in
      let z = trace.sample("z", from: Normal(0, 1))
      trace.observe("hint", 1, from: Normal(z, 1))
      return z
    }
    let recorded = Recorded()
    let objective = Objective("recording") { inputs in
      recorded.note(inputs)
      return -inputs.incrementalLogWeight
    }
    let normal = ConjugateNormal()
    let result = try evaluate(
      propose(Self.plate(normal.model), Self.plate(guide), loss: objective), seed: 3)()
    let z = try numbers(result.trace["z"]?.value)
    let incoming = z.map { normalLogDensity(1, $0, 1) }
    let incremental = zip(z, incoming).map {
      normalLogDensity(1.25, $0, 0.5) + normalLogDensity($0, 0, 1) - normalLogDensity($0, 0, 1) - $1
    }
    let inputs = try #require(recorded.inputs)
    try expectNear(inputs.incomingLogWeight, incoming)
    try expectNear(inputs.incrementalLogWeight, incremental)
    try expectNear(result.metrics.logWeight, zip(incoming, incremental).map { $0 + $1 })
    try expectNear(result.metrics.loss, [-incremental.reduce(0, +)])
    #expect(inputs.proposal.names == ["z", "hint"])
    #expect(inputs.target.names == ["z", "x"])
    #expect(inputs.proposal["hint"]?.logProb.shape == [50])
  }

  /// An objective may read values, and pass gradients to them: here of a mean square, by hand.
  @Test func anObjectiveOfValues() throws {
    let instances = Plate("instance", count: 3)
    let objective = Objective("squares") { inputs in
      guard let z = inputs.target["z"]?.value, let y = inputs.proposal["y"]?.value else { return 0 }
      return (z * z * y).sum(axis: -1)
    }
    let drawn = Locked<[Double]>([])
    let result = try valueWithGradient(at: Tensor(0.5)) { mean in
      let guide = Model { trace in
        let z = trace.sample("z", from: Normal(mean * Tensor([1, 1]), 1).event(1))
        trace.observe("y", [2, 3], from: Normal(0, 1).expanded(to: [2]).event(1))
        return z
      }
      let model = Model { trace in trace.sample("z", from: Normal([0, 0], 1).event(1)) }
      let program = propose(Self.plate(instances(model)), Self.plate(instances(guide)), loss: objective)
      let evaluation = try evaluate(program, seed: 4)()
      drawn.value = try numbers(evaluation.trace["z"]?.value)
      return try evaluation.metrics.loss
    }
    let z = drawn.value
    #expect(z.count == 300)
    let weights: [Double] = [2, 3]
    try expectNear(Tensor(result.value), [z.indices.reduce(0) { $0 + z[$1] * z[$1] * weights[$1 % 2] }])
    try expectNear(result.gradient, [z.indices.reduce(0) { $0 + 2 * z[$1] * weights[$1 % 2] }])
  }

  /// What an objective was given.
  final class Recorded: Sendable {
    private let noted = Locked<ObjectiveInputs?>(nil)
    var inputs: ObjectiveInputs? { noted.value }
    func note(_ inputs: ObjectiveInputs) { noted.value = inputs }
  }

  /// Losses of nested proposals add up; the other metrics are those of the last.
  @Test func nestedProposals() throws {
    let normal = ConjugateNormal()
    let inner = propose(
      Self.plate(ConjugateNormal(noise: 1).model), Self.plate(ConjugateNormal.proposal(0.8, 0.7)), loss: .elbo
    )
    let outer = propose(Self.plate(normal.model), inner, loss: .iwae)
    let alone = propose(Self.plate(normal.model), inner)
    let (first, both, second) = (
      try evaluate(inner, seed: 3)(), try evaluate(outer, seed: 3)(), try evaluate(alone, seed: 3)()
    )
    let weights = try numbers(both.metrics.logWeight)
    let greatest = weights.max() ?? 0
    let softmax = weights.map { exp($0 - greatest) }
    let sum = softmax.reduce(0, +)
    let iwae = -zip(weights, softmax).reduce(0) { $0 + $1.0 * $1.1 } / sum
    #expect(second.metrics.logWeight.scalars == both.metrics.logWeight.scalars)
    // Without a loss of its own a proposal hands that of the inner one on. (The key splits differ, so not the
    // same draws.)
    let z = try numbers(both.trace["z"]?.value)
    let elbo =
      -z.reduce(0) {
        $0 + normalLogDensity($1, 0, 1) + normalLogDensity(1.25, $1, 1)
          - normalLogDensity($1, Double(Float(0.8)), Double(Float(0.7)))
      } / 50
    try expectNear(second.metrics.loss, [elbo])
    try expectNear(both.metrics.loss, [elbo + iwae])
    #expect((try? first.metrics.loss) != nil)
    // The weight is that of the outer target, whatever the inner one was.
    try expectNear(
      both.metrics.logWeight,
      z.map {
        normalLogDensity($0, 0, 1) + normalLogDensity(1.25, $0, 0.5)
          - normalLogDensity($0, Double(Float(0.8)), Double(Float(0.7)))
      })
  }

  /// More sites than are looked for one by one.
  @Test func manySites() throws {
    let names = (0..<40).map { "site \($0)" }
    let target = Model { (trace) in
      let values = names.map { trace.sample($0, from: Normal(0, 1)) }
      trace.observe("x", 1, from: Normal(Tensor.stack(values).sum(), 2))
      return values[0]
    }
    // In another order, with some left out and others besides.
    let proposal = Kernel { (trace) in
      for name in names.reversed().dropFirst(5) { _ = trace.sample(name, from: Normal(0.25, 1)) }
      for extra in 0..<10 { _ = trace.sample("extra \(extra)", from: Normal(0, 1)) }
      return Tensor(0)
    }
    let result = try evaluate(propose(Self.plate(target), Self.plate(proposal)), seed: 3)()
    #expect(result.trace.names == names + ["x"])
    let values = try names.map { try numbers(result.trace[$0]?.value) }
    let weights = (0..<50).map { row in
      let sum = values.reduce(0) { $0 + $1[row] }
      return values.dropLast(5).reduce(normalLogDensity(1, sum, 2)) {
        $0 + normalLogDensity($1[row], 0, 1) - normalLogDensity($1[row], 0.25, 1)
      }
    }
    try expectNear(result.metrics.logWeight, weights, within: 2e-5)
  }

  // MARK: Chained, detached, unplated

  @Test func chainedTargetsTakeTheProposalsOutput() throws {
    let proposal = Kernel { (trace, x: Tensor) in
      let z = trace.sample("z", from: Normal(x, 1))
      return (z, x)
    }
    let target = Model { (trace, previous: Tensor, x: Tensor) in
      let y = trace.sample("y", from: Normal(previous, 1))
      trace.observe("x", x, from: Normal(y, 1))
      return y
    }
    let result = try evaluate(propose(Self.plate(target), chaining: Self.plate(proposal)), seed: 3)(0.75)
    #expect(result.trace.names == ["y", "x"])
    let y = try numbers(result.trace["y"]?.value)
    // No site is in both: only the observation counts.
    try expectNear(result.metrics.logWeight, y.map { normalLogDensity(0.75, $0, 1) })
  }

  /// Detached: the numbers are those of the first run, the gradient of the loss stops at the values.
  @Test func detaching() throws {
    func run(detach: Bool) throws -> (ValueWithGradient<[Tensor]>, Evaluation<Tuple<Tensor>>) {
      try valueWithGradient(at: [Tensor(0.8), Tensor(0.3)]) { parameters in
        let model = Model { (trace) in
          let z = trace.sample("z", from: Normal(parameters[1], 1))
          trace.observe("x", 1.25, from: Normal(z, 0.5))
          return z
        }
        let objective = Objective("target") { inputs in
          inputs.target.sites.dropFirst().reduce(inputs.target.sites[0].logProb) { $0 + $1.logProb }
        }
        let proposal = ConjugateNormal.proposal(parameters[0], 0.7)
        let inference = propose(Self.plate(model), Self.plate(proposal), loss: objective, detach: detach)
        let result = try evaluate(inference, seed: 3)()
        return (try result.metrics.loss, result)
      }
    }
    let (attached, attachedRun) = try run(detach: false)
    let (detached, detachedRun) = try run(detach: true)
    #expect(attached.value == detached.value)
    #expect(detachedRun.metrics.logWeight.scalars == attachedRun.metrics.logWeight.scalars)
    #expect(detachedRun.trace["z"]?.value.scalars == attachedRun.trace["z"]?.value.scalars)
    let z = try numbers(attachedRun.trace["z"]?.value)
    let mean = Double(Float(0.3))
    // Σ d log p(z) / d mean, and through the values dz / d location = 1.
    let toMean = z.reduce(0) { $0 + $1 - mean }
    let toLocation = z.reduce(0) { $0 - ($1 - mean) + (1.25 - $1) / 0.25 }
    try expectNear(attached.gradient[1], [toMean])
    try expectNear(detached.gradient[1], [toMean])
    try expectNear(attached.gradient[0], [toLocation], within: 1e-5)
    #expect(detached.gradient[0].scalar == 0)
    // Detaching needs a loss to be detached for.
    let plain = try evaluate(
      propose(Self.plate(ConjugateNormal().model), Self.plate(ConjugateNormal.proposal(0, 1)), detach: true),
      seed: 3)()
    #expect((try? plain.metrics.loss) == nil)
  }

  @Test func withoutAPlate() throws {
    let normal = ConjugateNormal()
    for objective in [Objective.elbo, .iwae] {
      let result = try evaluate(
        propose(normal.model, ConjugateNormal.proposal(0.8, 0.7), loss: objective), seed: 3)()
      let z = try numbers(result.trace["z"]?.value)
      #expect(z.count == 1)
      let density = normalLogDensity(z[0], 0, 1) + normalLogDensity(1.25, z[0], 0.5)
      let weight = density - normalLogDensity(z[0], Double(Float(0.8)), Double(Float(0.7)))
      #expect(result.metrics.logWeight.shape == [])
      try expectNear(result.metrics.logWeight, [weight])
      try expectNear(result.metrics.logDensity, [density])
      try expectNear(result.metrics.loss, [-weight])
      #expect(
        (try? result.metrics.ess) == nil && (try? result.metrics.logZ) == nil, "there is no particle axis")
    }
  }

  // MARK: Nested plates

  @Test func instancesHaveTheirOwnMetrics() throws {
    let (particles, instances) = (Plate("particle", count: 40), Plate("instance", count: 3))
    let data: [Float] = [0.5, -2, 1]
    let model = Model { (trace, x: Tensor) in
      let z = trace.sample("z", from: Normal(0, 1))
      trace.observe("x", x, from: Normal(z, 0.5))
      return z
    }
    let proposal = Kernel { (trace, x: Tensor) in trace.sample("z", from: Normal(0.75 * x, 0.5)) }
    let result = try evaluate(
      propose(particles(instances(model)), particles(instances(proposal)), loss: .elbo), seed: 3)(
        instances.mapped(Tensor(data)))
    #expect(result.metrics.logWeight.shape == [40, 3])
    #expect(result.trace["z"]?.value.shape == [40, 3])
    #expect(result.trace["x"]?.value.scalars == (0..<40).flatMap { _ in data })
    let z = try numbers(result.trace["z"]?.value)
    let weights = z.indices.map { row -> Double in
      let x = Double(data[row % 3])
      return normalLogDensity(z[row], 0, 1) + normalLogDensity(x, z[row], 0.5)
        - normalLogDensity(z[row], 0.75 * x, 0.5)
    }
    try expectNear(result.metrics.logWeight, weights)
    var (logZ, ess) = (0.0, 0.0)
    for instance in 0..<3 {
      let own = stride(from: instance, to: 120, by: 3).map { exp(weights[$0]) }
      let sum = own.reduce(0, +)
      logZ += log(sum / 40)
      ess += sum * sum / own.reduce(0) { $0 + $1 * $1 } / 3
    }
    try expectNear(result.metrics.logZ, [logZ])
    try expectNear(result.metrics.ess, [ess])
    try expectNear(result.metrics.loss, [-weights.reduce(0, +) / 40])
  }

  /// A proposal's density at a value that the target does not take has no meaning.
  @Test func aTargetThatObservesWhatTheProposalDraws() throws {
    let plate = Plate("particle", count: 10)
    let simulation = Model { trace in
      let z = trace.sample("z", from: Normal(0, 1))
      return trace.sample("x", from: Normal(z, 1))
    }
    let error = #expect(throws: CoixError.self) {
      try evaluate(propose(plate(condition(simulation, ["x": 1])), plate(simulation)), seed: 0)()
    }
    #expect(error?.description.contains("\"x\": the target observes it, and the proposal draws it") == true)
    _ = try evaluate(
      propose(plate(condition(simulation, ["x": 1])), plate(condition(simulation, ["x": 1]))), seed: 0)()
  }
}
