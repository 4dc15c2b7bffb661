import Coix
import Synchronization
import Testing

/// extend, suffix, detach, stickTheLanding and loops: names, gradients, weights. Their numbers are golden.
@Suite struct SiteHandlersTests {
  static let particles = Plate("particle", count: 40, chunkRows: 16)
  static let step = Kernel { (trace, x: Tensor) in trace.sample("x", from: Normal(0.5 * x, 0.8)) }
  static let other = Kernel { (trace, x: Tensor) in trace.sample("y", from: Normal(x, 0.8)) }
  static func kernel(_ mean: Tensor = 0.3, _ scale: Tensor = 0.7) -> Kernel<Tuple<>, Tuple<Tensor>> {
    Kernel { trace in trace.sample("x", from: Normal(mean, scale)) }
  }
  static func model(_ mean: Tensor = 0) -> Model<Tuple<>, Tuple<Tensor>> {
    Model { trace in
      let x = trace.sample("x", from: Normal(mean, 1))
      trace.observe("o", 0.4, from: Normal(x, 0.5))
      return x
    }
  }

  // MARK: Names and levels

  @Test func extendReturnsTheTargetsOutput() throws {
    let program = extend(Self.particles(Self.model()), Self.particles(Self.step))
    let result = try evaluate(program, seed: 1)()
    #expect(result.trace.names == ["x", "o", "x_PREV_"])
    #expect(result.output.values.scalars == result.trace["x"]?.value.scalars)
    // Only the observation is a weight.
    #expect(result.metrics.logWeight.scalars == result.trace["o"]?.logProb.scalars)
  }

  @Test func suffixesAreTakenOffIfAllHaveThem() throws {
    let result = try evaluate(suffix(suffix(Self.kernel())), seed: 1)()
    #expect(result.trace.names == ["x"])
    #expect(result.trace.sites[0].isSuffixed)
    let both = try evaluate(compose(Self.step, suffix(Self.kernel()), suffix: false), seed: 1)()
    #expect(both.trace.names == ["x_PREV_", "x"])
  }

  @Test func wrappersKeepTheLevel() throws {
    let kernel: Kernel<Tuple<>, Tuple<Tensor>> = suffix(detach(stickTheLanding(Self.kernel())))
    let model: Model<Tuple<>, Tuple<Tensor>> = suffix(detach(stickTheLanding(Self.model())))
    let target: Target<Tuple<>, Tuple<Tensor>> = suffix(detach(stickTheLanding(extend(model, Self.other))))
    let inference: Inference<Tuple<>, Tuple<Tensor>> = suffix(
      detach(stickTheLanding(propose(Self.model(), Self.kernel()))))
    for program in [AnyNames(kernel), AnyNames(model), AnyNames(target), AnyNames(inference)] {
      #expect(try program.names().contains("x"))
    }
  }

  /// What a program's sites are called, whatever its type.
  private struct AnyNames {
    let names: () throws -> [String]
    init(_ program: some InferenceProgram<Tuple<>, Tuple<Tensor>>) {
      names = { try evaluate(program, seed: 0)().trace.names }
    }
  }

  // MARK: Gradients

  /// d/dθ of the sum of values and of log-probabilities, for x = mean + scale · ε.
  private func gradients(
    _ change: @escaping (Kernel<Tuple<>, Tuple<Tensor>>) -> Kernel<Tuple<>, Tuple<Tensor>>
  ) throws -> (value: [Float], logProb: [Float]) {
    func gradient(_ pick: @escaping (Site) -> Tensor) throws -> [Float] {
      try valueWithGradient(at: [Tensor(0.3), Tensor(0.7)]) { parameters in
        let program = change(Self.kernel(parameters[0], parameters[1]))
        let trace = try evaluate(Self.particles(program), seed: 2)().trace
        return pick(trace.sites[0]).sum()
      }.gradient.map(\.scalar)
    }
    return (try gradient(\.value), try gradient(\.logProb))
  }

  @Test func detachStopsAtTheValue() throws {
    let noise = try evaluate(Self.particles(Self.kernel(0, 1)), seed: 2)().output.values.scalars
    let plain = try gradients { $0 }
    #expect(abs(plain.value[0] - 40) < 1e-4)
    #expect(abs(plain.value[1] - noise.reduce(0, +)) < 1e-3)
    // -log σ - ε²/2: by the reparameterised value only σ matters.
    #expect(abs(plain.logProb[0]) < 1e-3 && abs(plain.logProb[1] + 40 / 0.7) < 1e-3)

    let detached = try gradients { detach($0) }
    #expect(detached.value == [0, 0])
    // With the value fixed: ε / σ and (ε² - 1) / σ.
    #expect(abs(detached.logProb[0] - noise.reduce(0, +) / 0.7) < 1e-3)
    #expect(abs(detached.logProb[1] - noise.map { ($0 * $0 - 1) / 0.7 }.reduce(0, +)) < 1e-3)
  }

  @Test func stickTheLandingStopsAtTheParameters() throws {
    let noise = try evaluate(Self.particles(Self.kernel(0, 1)), seed: 2)().output.values.scalars
    let sticking = try gradients { stickTheLanding($0) }
    #expect(abs(sticking.value[0] - 40) < 1e-4)
    // Through the value alone: -ε / σ · dx.
    #expect(abs(sticking.logProb[0] + noise.reduce(0, +) / 0.7) < 1e-3)
    #expect(abs(sticking.logProb[1] + noise.map { $0 * $0 / 0.7 }.reduce(0, +)) < 1e-3)
    #expect(try gradients { stickTheLanding(detach($0)) }.logProb == [0, 0])
  }

  /// Values that a combinator gives keep their gradient in a detached target.
  @Test func detachLeavesGivenValuesAlone() throws {
    let gradient = try valueWithGradient(at: Tensor(0.3)) { mean in
      let program = propose(
        detach(Self.particles(Self.model())), Self.particles(Self.kernel(mean)))
      return try evaluate(program, seed: 2)().output.values.sum()
    }
    #expect(abs(gradient.gradient.scalar - 40) < 1e-4)
  }

  /// The log-probabilities that are replayed after a proposal, with and without their gradients.
  @Test func whatIsReplayedIsDetachedToo() throws {
    func gradient(
      _ change: @escaping (Inference<Tuple<>, Tuple<Tensor>>) -> Inference<Tuple<>, Tuple<Tensor>>,
      _ pick: @escaping (Site) -> Tensor
    ) throws -> Float {
      try valueWithGradient(at: Tensor(0.3)) { mean in
        let program = propose(Self.particles(Self.model(mean)), Self.particles(Self.kernel(mean)))
        let site = try evaluate(change(program), seed: 2)().trace["x"]
        return pick(try #require(site)).sum()
      }.gradient.scalar
    }
    #expect(try gradient({ $0 }, \.value) != 0)
    #expect(try gradient({ detach($0) }, \.value) == 0)
    #expect(try gradient({ detach($0) }, \.logProb) == gradient({ $0 }, \.logProb))
    #expect(try gradient({ stickTheLanding($0) }, \.logProb) == 0)
    #expect(try gradient({ stickTheLanding($0) }, \.value) == gradient({ $0 }, \.value))
  }

  // MARK: Weights

  /// What the outer program of a composition observes counts besides the inner one's weight.
  @Test func observationsAroundAWeightedProgramCount() throws {
    let inner = propose(Self.particles(Self.model()), Self.particles(Self.kernel()))
    let outer = Self.particles(
      Model { (trace, x: Tensor) in
        trace.observe("p", 1.5, from: Normal(x, 0.5))
        return x
      })
    let alone = try evaluate(inner, seed: 3)()
    let composed = try evaluate(compose(outer, inner), seed: 3)()
    let observed = try #require(composed.trace["p"]).logProb
    let expected = zip(alone.metrics.logWeight.scalars, observed.scalars).map { $0 + $1 }
    #expect(composed.metrics.logWeight.scalars == expected)
    // The same with a resampling around: its evidence is that of both.
    let drawn = try evaluate(resample(compose(outer, inner)), seed: 4)()
    let weights = try evaluate(compose(outer, inner), seed: 4)()
    #expect(drawn.metrics.logWeight.shape == weights.metrics.logWeight.shape)
    let twice = propose(
      Self.particles(Kernel { trace in trace.sample("x", from: Normal(0, 1)) }),
      compose(outer, inner, suffix: false))
    #expect(try evaluate(twice, seed: 3)().metrics.logWeight.scalars.allSatisfy(\.isFinite))
  }

  @Test func twoWeightedProgramsDoNotCompose() throws {
    let inner = propose(Self.particles(Self.model()), Self.particles(Self.kernel()))
    let outer = propose(
      Self.particles(Model { (trace, x: Tensor) in trace.sample("y", from: Normal(x, 1)) }),
      Self.particles(Kernel { (trace, x: Tensor) in trace.sample("y", from: Normal(x, 2)) }))
    #expect(
      throws: CoixError.illFormedProgram("compose: both programs are weighted; at most one of them may be")
    ) { try evaluate(compose(outer, inner), seed: 0)() }
  }

  /// A target that draws a value of its own for a name that the proposal has, too.
  @Test func namesThatMeetTooLate() throws {
    let forward = Kernel { (trace, x: Tensor) in trace.sample("y", from: Normal(x, 1)) }
    let program = propose(
      extend(Self.particles(Self.model()), Self.particles(forward)),
      compose(Self.particles(forward), Self.particles(Self.kernel())))
    do {
      _ = try evaluate(program, seed: 0)()
      Issue.record("nothing was thrown")
    } catch CoixError.site(let name, let reason) {
      #expect(name == "y")
      #expect(reason.contains("the target draws it anew instead of taking the proposal's value"))
    }
  }

  // MARK: Inputs that are read more than once

  /// A proposal within a composition hands its input to two programs, and a loop to every round.
  @Test func inputsAreReadAsOftenAsNeeded() throws {
    let target = Self.particles(
      Model { (trace, y: Tensor) in
        let x = trace.sample("x", from: Normal(y, 1))
        trace.observe("o", 0.4, from: Normal(x, 0.5))
        return x
      })
    let proposal = Self.particles(Kernel { (trace, y: Tensor) in trace.sample("x", from: Normal(y, 2)) })
    let first = Self.particles(Kernel { (trace, y: Tensor) in trace.sample("w", from: Normal(y, 0.1)) })
    let data = Self.particles.mapped(Tensor((0..<40).map { Float($0) }))
    for detach in [false, true] {
      let inner = propose(target, proposal, loss: .elbo, detach: detach)
      let result = try evaluate(compose(inner, first), seed: 1)(data)
      let x = try #require(result.trace["x"]).value.scalars
      for (row, value) in x.enumerated() { #expect(abs(value - Float(row)) < 12) }
    }
    let move = Self.particles(Kernel { (trace, x: Tensor) in trace.sample("x", from: Normal(x, 0.1)) })
    let loop = foriLoop(0..<3, initial: propose(target, proposal)) { _, q in
      propose(target, compose(move, resample(q)))
    }
    let result = try evaluate(compose(loop, first), seed: 1)(data)
    #expect(result.output.values.shape == [40])
    #expect(result.stageCount == 4)
  }

  @Test func aLoopWithoutRounds() throws {
    let result = try evaluate(foriLoop(2..<2, initial: Self.particles(Self.model())) { _, q in q }, seed: 1)()
    #expect(result.trace.names == ["o", "x"])
    #expect(try result.metrics.loss.scalar == 0)
    #expect(result.metrics.logWeight.scalars == result.trace["o"]?.logProb.scalars)
    #expect(
      (try? result.metrics.ess) != nil && (try? result.metrics.logZ) != nil
        && (try? result.metrics.logDensity) != nil)
  }

  @Test func aRoundUsesTheProgramOnce() throws {
    #expect(
      try evaluate(foriLoop(0..<1, initial: Self.particles(Self.step)) { $1 }, seed: 0)(0.5).trace.names == [
        "x"
      ])
  }

  /// A program so far means nothing outside of its round: neither in a later one, nor in another evaluation.
  @Test func aRoundsProgramStaysInItsRound() throws {
    let kept = Mutex<Inference<Tuple<>, Tuple<Tensor>>?>(nil)
    let message =
      "foriLoop: the program so far may stand in one place of its round's program, and nowhere else"
    let first = foriLoop(0..<1, initial: Self.particles(Self.model())) {
      _, q -> Inference<Tuple<>, Tuple<Tensor>> in
      kept.withLock { $0 = q }
      return resample(q)
    }
    _ = try evaluate(first, seed: 1)()
    let escaped = try #require(kept.withLock { $0 })
    #expect(throws: CoixError.illFormedProgram(message)) { try evaluate(escaped, seed: 1)() }
    let other = foriLoop(0..<2, initial: Self.particles(Self.model())) { _, _ in escaped }
    #expect(throws: CoixError.illFormedProgram(message)) { try evaluate(other, seed: 1)() }
    let later = foriLoop(0..<3, initial: Self.particles(Self.model())) { round, q in
      kept.withLock { program in
        if round == 0 { program = q }
        return program ?? q
      }
    }
    #expect(throws: CoixError.illFormedProgram(message)) { try evaluate(later, seed: 1)() }
    let twice = foriLoop(0..<1, initial: Self.particles(Self.step)) { _, q in compose(q, q) }
    #expect(throws: CoixError.illFormedProgram(message)) { try evaluate(twice, seed: 0)(0.5) }
  }

  @Test func whatABodyThrowsIsThrown() throws {
    let loop = foriLoop(0..<3, initial: Self.particles(Self.model())) { round, q in
      guard round < 2 else { throw CoixError.argument("round \(round)") }
      return q
    }
    #expect(throws: CoixError.argument("round 2")) { try evaluate(loop, seed: 1)() }
  }
}
