import Coix
import Testing

/// Programs that take gradients of log-densities: leapfrog and Langevin steps, and training through them.
@Suite struct ScoreTests {
  /// Few particles, so that the bound on the evidence has something to gain; in several chunks.
  static let particles = Plate("particle", count: 4, chunkRows: 64)
  static let instances = Plate("instance", count: 50)

  /// x ~ Normal(0, 1) in two dimensions, 1.5 ~ StudentT(5) around each number, to a power.
  static func logDensity(_ x: Tensor, _ power: Float) -> Tensor {
    (Normal(0, 1).logProb(of: x) + StudentT(5, x, 0.5).logProb(of: 1.5) * power).sum()
  }

  static func target(_ power: Float) -> Target<Tuple<>, Tuple<Tensor>> {
    plated(
      Target(
        Model { trace in
          let x = trace.sample("x", from: Normal(0, 1).expanded(to: [2]).event(1))
          trace.factor("likelihood", StudentT(5, x, 0.5).logProb(of: 1.5).sum() * power)
          return x
        }))
  }

  static func plated<I, O>(_ program: Target<I, O>) -> Target<I, O> { particles(instances(program)) }
  static func plated<I, O>(_ program: Kernel<I, O>) -> Kernel<I, O> { particles(instances(program)) }

  /// Annealed importance sampling whose leapfrog steps find the gradients themselves. The parameters are the
  /// logarithm of the step size and the log-odds of the momentum's persistence.
  static func annealed(_ parameters: [Tensor]) throws -> Inference<Tuple<>, Tuple<Tensor, Tensor>> {
    let (step, persistence) = (exp(parameters[0]), sigmoid(parameters[1]))
    let momentum = plated(
      Kernel { (trace, x: Tensor) in
        (x, trace.sample("v", from: Normal(0, 1).expanded(to: [2]).event(1)))
      })
    let refreshment = plated(
      Kernel { (trace, x: Tensor, v: Tensor) in
        (x, trace.sample("v", from: Normal(persistence * v, sqrt(1 - persistence.squared)).event(1)))
      })
    let moves = plated(
      Kernel { (trace, x: Tensor, v: Tensor) in
        let moved = try leapfrog({ logDensity($0, 1) }, position: x, momentum: v, stepSize: step, steps: 2)
        let (prior, kinetic) = (Normal(0, 1).logProb(of: x).sum(), Normal(0, 1).logProb(of: v).sum())
        return (
          trace.sample("x", from: Delta(moved.position, logDensity: prior, eventRank: 1)),
          trace.sample("v", from: Delta(moved.momentum, logDensity: kinetic, eventRank: 1))
        )
      })
    return try dais(
      targets: [0, 0.5, 1].map { target($0) }, momentum: momentum, leapfrog: moves, refreshment: refreshment)
  }

  /// A Langevin step in the proposal, in one stage. The parameters are the step size, a location and a scale.
  static func langevin(_ parameters: [Tensor]) -> Inference<Tuple<>, Tuple<Tensor>> {
    let proposal = plated(
      Kernel { trace in
        let x = trace.sample("x0", from: Normal(parameters[1], 1).expanded(to: [2]).event(1))
        let score = try gradient(of: { logDensity($0, 1) }, at: x)
        return trace.sample("x", from: Normal(x + parameters[0] * score, exp(parameters[2])).event(1))
      })
    return svi(target(1), proposal)
  }

  static let annealedParameters: [Tensor] = [-1.5, 0.4]
  static let langevinParameters: [Tensor] = [0.2, 0.5, -0.5]

  static func annealedLoss(_ parameters: [Tensor], _ options: EvaluationOptions = .init()) throws -> Tensor {
    try evaluate(annealed(parameters), seed: 3, options: options)().metrics.loss
  }

  static func langevinLoss(_ parameters: [Tensor], _ options: EvaluationOptions = .init()) throws -> Tensor {
    try evaluate(langevin(parameters), seed: 3, options: options)().metrics.loss
  }

  @Test func gradientThroughLeapfrogSteps() throws {
    try expectGradient(
      at: Self.annealedParameters, ofLoss: { try Self.annealedLoss($0) },
      { (-(try evaluate(Self.annealed($0), seed: 3)().metrics.logZ), []) })
  }

  @Test func gradientThroughALangevinStep() throws {
    try expectGradient(at: Self.langevinParameters) { (try Self.langevinLoss($0), []) }
  }

  /// The same bits however the chunks are computed, and on any number of threads.
  @Test func replayedOnAnyThreads() throws {
    func bits(_ loss: ([Tensor], EvaluationOptions) throws -> Tensor, _ parameters: [Tensor]) throws
      -> [[UInt32]]
    {
      try [(1, EvaluationOptions.Execution.eager), (1, .replayed), (3, .eager), (3, .replayed)].map {
        (threads, execution) in
        let options = EvaluationOptions(workers: try Workers(threads: threads), execution: execution)
        let alone = try loss(parameters, options).scalar
        let result = try valueWithGradient(at: parameters) { try loss($0, options) }
        return ([alone, result.value] + result.gradient.map(\.scalar)).map(\.bitPattern)
      }
    }
    for runs in [
      try bits(Self.annealedLoss, Self.annealedParameters),
      try bits(Self.langevinLoss, Self.langevinParameters),
    ] {
      #expect(runs[0][0] == runs[0][1])
      for other in runs.dropFirst() { #expect(other == runs[0]) }
    }
  }

  /// Points that vary over one of two plates, with functions that vary over the same plate or over both.
  @Test func pointsOfOnePlate() throws {
    let (particles, instances) = (Plate("particle", count: 5), Plate("instance", count: 4))
    let (temperatures, points) = (Tensor([0.5, 1, 1.5, 2, 0.8]), Tensor([-1, 0.3, 0.7, 1.2]))
    func program(_ rate: Tensor, _ isClosed: Bool) -> Inference<Tuple<Tensor, Tensor>, Tuple<Tensor>> {
      @Sendable func slope(_ point: Tensor, _ factor: Tensor) throws -> Tensor {
        guard isClosed else { return try gradient(of: { tanh($0 * factor * rate) }, at: point) }
        return factor * rate * (1 - tanh(point * factor * rate).squared)
      }
      let proposal = Kernel { (trace, x: Tensor, temperature: Tensor) in
        let slopes = try slope(x, 2) + slope(x, temperature) + slope(temperature, 2) + slope(temperature, x)
        return trace.sample("z", from: Normal(slopes, 1))
      }
      let model = Model { (trace, x: Tensor, _: Tensor) in trace.sample("z", from: Normal(x, 1)) }
      return svi(particles(instances(Target(model))), particles(instances(proposal)))
    }
    func loss(_ rate: Tensor, isClosed: Bool) throws -> Tensor {
      try evaluate(program(rate, isClosed), seed: 1)(instances.mapped(points), particles.mapped(temperatures))
        .metrics.loss
    }
    try expectGradient(at: Tensor(0.7)) { (try loss($0, isClosed: false), []) }
    let (own, closed) = (try loss(0.7, isClosed: false).scalar, try loss(0.7, isClosed: true).scalar)
    #expect(abs(own - closed) < 1e-4 * abs(closed))
  }

  /// A compiled step has the bits of the function itself, which `checkedEvery` compares.
  @Test func compiled() throws {
    let step = compile(checkedEvery: 2) { (parameters: [Tensor], key: PRNGKey) in
      try valueWithGradient(at: parameters) {
        try evaluate(Self.annealed($0), seed: key)().metrics.loss
      }
    }
    for key in 1...5 { _ = try step(Self.annealedParameters, key: PRNGKey(seed: UInt64(key))) }
    #expect(step.runCount == 3)
  }

  /// A learned step size: the loss falls.
  @Test func training() throws {
    let start: [Tensor] = [-3, 0.4]
    let training = CompiledTraining(start, by: Adam(for: start, learningRate: 0.05), checkedEvery: 20) {
      (parameters, _: Tuple<>, key) in
      try evaluate(Self.annealed(parameters), seed: key)().metrics.loss
    }
    let losses = try (0..<60).map { try training.step(Tuple(), key: PRNGKey(seed: 0).folded(in: $0)) }
    let (first, last) = (losses.prefix(10).reduce(0, +) / 10, losses.suffix(10).reduce(0, +) / 10)
    #expect(last < first - 0.3, "from \(first) to \(last)")
    #expect(try training.parameters[0].scalar > -2.5)
  }

  /// One leapfrog step for a normal distribution, where the gradient is -x.
  @Test func leapfrogSteps() throws {
    let state = try leapfrog(
      { -0.5 * $0.squared.sum() }, position: [1, -2], momentum: [0.5, 1], stepSize: 0.25)
    let half: [Float] = [0.5 - 0.125, 1 + 0.25]
    let position = [1 + 0.25 * half[0], -2 + 0.25 * half[1]]
    #expect(state.position.scalars == position)
    #expect(state.momentum.scalars == [half[0] - 0.125 * position[0], half[1] - 0.125 * position[1]])
    let none = try leapfrog({ $0.sum() }, position: [1], momentum: [2], stepSize: 1, steps: 0)
    #expect(none.position.scalars == [1] && none.momentum.scalars == [2])
    // There and back again.
    let there = try leapfrog(
      { -cos($0).sum() }, position: [1, -2], momentum: [0.5, 1], stepSize: 0.1, steps: 20)
    let back = try leapfrog(
      { -cos($0).sum() }, position: there.position, momentum: -there.momentum, stepSize: 0.1, steps: 20)
    for (number, expected) in zip(back.position.scalars, [1, -2] as [Float]) {
      #expect(abs(number - expected) < 1e-5)
    }
  }

  @Test func evaluationsWithinAreRefused() throws {
    #expect(throws: CoixError.gradient("gradient(of:at:): the function must not evaluate a program")) {
      try gradient(of: { try Self.langevinLoss([$0, 0.5, -0.5]) }, at: Tensor(0.2))
    }
  }
}
