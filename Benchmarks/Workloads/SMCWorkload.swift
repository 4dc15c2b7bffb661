import Coix

/// A bootstrap filter of 50 steps and its gradient: `vsmc` with the model's own transitions for proposals.
struct SMCWorkload: Workload {
  let name = "smc"
  let modes: KeyValuePairs<Mode, Int> = [.forward: 1_000_000, .gradient: 100_000]
  static let steps = 50

  func jobs(_ mode: Mode, particles: Int) throws -> (Workers) throws -> any Job {
    let plate = Plate("particle", count: particles)
    let observations = Self.observations
    return { workers in
      let options = EvaluationOptions(workers: workers, keep: .metrics)
      func run(_ dynamics: Dynamics, _ key: PRNGKey) throws -> Metrics {
        try evaluate(dynamics.filter(observations, plate), seed: key, options: options)().metrics
      }
      guard mode == .gradient else {
        return EvaluationJob(compiledFor: workers) { EvaluationJob.Summary(try run(Dynamics(), $0)) }
      }
      return GradientJob(at: Dynamics(), workers: workers) { try run($0, $1).loss }
    }
  }

  /// What the model might observe, two coordinates a step.
  static var observations: [Tensor] {
    let noise = Draw(key: 3, shape: [steps, 2, 2]).normal()
    var x = noise[0][0]
    return (0..<steps).map { step in
      if step > 0 { x = Dynamics().slope * x + noise[step][0] }
      return x + noise[step][1]
    }
  }
}

/// x' = slope x + noise of a scale, in two coordinates, y = x + noise of variance 1.
struct Dynamics: TensorTree {
  var slope: Tensor = 0.9
  var logScale: Tensor = 0

  mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("slope", &slope)
    try visitor.visit("logScale", &logScale)
  }

  private static let initial = Normal(.zeros([2]), 1).event(1)

  private func next(_ x: Tensor) -> Event<Normal> { Normal(slope * x, exp(logScale)).event(1) }

  /// The filter for these observations, one a step.
  func filter(_ observations: [Tensor], _ plate: Plate) throws -> Inference<Tuple<>, Tuple<Tensor>> {
    let guess = Kernel { trace in trace.sample("x", from: Self.initial) }
    let move = Kernel { (trace, before: Tensor) in
      let before = trace.sample("before", from: Delta(before, eventRank: 1))
      return trace.sample("x", from: next(before))
    }
    return try vsmc(
      targets: observations.indices.map { plate(target($0, observations)) }, initial: plate(guess),
      proposals: observations.dropFirst().map { _ in plate(move) })
  }

  /// A step's target: the density of a state and the one before, each with its observation, but without
  /// what came before these.
  private func target(_ step: Int, _ observations: [Tensor]) -> Model<Tuple<>, Tuple<Tensor>> {
    Model { trace in
      var transition = Self.initial
      if step > 0 {
        // The density of its observation, which is symmetric in both.
        let before = trace.sample("before", from: Normal(observations[step - 1], 1).event(1))
        transition = next(before)
      }
      let x = trace.sample("x", from: transition)
      trace.observe("y", observations[step], from: Normal(x, 1).event(1))
      return x
    }
  }
}
