import Coix
import Testing

/// Replaying a finished evaluation is as good as running its program.
@Suite struct EmpiricalTests {
  static let particles = Plate("particle", count: 300, chunkRows: 64)
  static let step = Kernel { (trace, x: Tensor) in trace.sample("y", from: Normal(x, 0.5)) }

  static func inference(_ mean: Tensor = 0.2) -> Inference<Tuple<>, Tuple<Tensor>> {
    let target = Model { trace in
      let x = trace.sample("x", from: Normal(0, 1))
      trace.observe("o", 0.7, from: Normal(x, 0.5))
      return x
    }
    let proposal = Kernel { trace in trace.sample("x", from: Normal(mean, 1)) }
    return propose(particles(target), particles(proposal), loss: .rws)
  }

  @Test func replaysEverything() throws {
    let first = try evaluate(Self.inference(), seed: 5)()
    let program: Inference<Tuple<>, Tuple<Tensor>> = empirical(first)
    let again = try evaluate(program, seed: 9)()
    #expect(again.output.values.scalars == first.output.values.scalars)
    #expect(again.trace.names == first.trace.names)
    for (a, b) in zip(again.trace.sites, first.trace.sites) {
      #expect(a.value.scalars == b.value.scalars && a.logProb.scalars == b.logProb.scalars)
      #expect(a.isObserved == b.isObserved && a.eventRank == b.eventRank)
    }
    #expect(again.metrics.logWeight.scalars == first.metrics.logWeight.scalars)
    #expect(try again.metrics.ess.scalar == first.metrics.ess.scalar)
    #expect(try again.metrics.logZ.scalar == first.metrics.logZ.scalar)
    #expect(try again.metrics.logDensity.scalar == first.metrics.logDensity.scalar)
    #expect(try again.metrics.loss.scalar == first.metrics.loss.scalar)
  }

  /// A resampling draws from the replayed weights, with the keys of a run of the program itself.
  @Test(arguments: [1, 3]) func goesOnFromIt(_ threads: Int) throws {
    let options = EvaluationOptions(workers: try Workers(threads: threads))
    let first = try evaluate(Self.inference(), seed: 5, options: options)()
    let program: Inference<Tuple<>, Tuple<Tensor>> = compose(
      Self.particles(Self.step), resample(empirical(first)))
    let result = try evaluate(program, seed: 2, options: options)()
    #expect(result.output.values.shape == [300])
    #expect(result.trace.names == ["o", "x", "y"])
    let x = try #require(result.trace["x"]).value.scalars
    #expect(Set(x).isSubset(of: first.output.values.scalars))
    #expect(Set(x).count < 300)
    #expect(try result.metrics.logZ.scalar == first.metrics.logZ.scalar)
  }

  /// Gradients flow through what is replayed.
  @Test func gradientsGoThrough() throws {
    func loss(_ mean: Tensor, replayed: Bool) throws -> Tensor {
      let first = try evaluate(Self.inference(mean), seed: 5)()
      guard replayed else { return first.metrics.logWeight.sum() }
      let program: Inference<Tuple<>, Tuple<Tensor>> = empirical(first)
      return try evaluate(program, seed: 0)().metrics.logWeight.sum()
    }
    let direct = try valueWithGradient(at: Tensor(0.2)) { try loss($0, replayed: false) }
    let through = try valueWithGradient(at: Tensor(0.2)) { try loss($0, replayed: true) }
    #expect(direct.value == through.value && direct.gradient.scalar == through.gradient.scalar)
    #expect(direct.gradient.scalar != 0)
  }

  @Test func outsideOfPlates() throws {
    let first = try evaluate(Kernel { trace in trace.sample("x", from: Normal(0, 1)) }, seed: 1)()
    let program: Inference<Tuple<>, Tuple<Tensor>> = compose(Self.step, empirical(first))
    let result = try evaluate(program, seed: 1)()
    #expect(result.trace["x"]?.value.scalar == first.output.values.scalar)
  }

  @Test func needsAllOfTheEvaluation() throws {
    for keep in [EvaluationOptions.Keep.metrics, .output] {
      let first = try evaluate(Self.inference(), seed: 5, options: EvaluationOptions(keep: keep))()
      let program: Inference<Tuple<>, Tuple<Tensor>> = empirical(first)
      #expect(
        throws: CoixError.illFormedProgram("empirical: the evaluation has not kept its output and trace")
      ) {
        try evaluate(program, seed: 0)()
      }
    }
  }

  @Test func standsInItsOwnPlates() throws {
    let first = try evaluate(Self.inference(), seed: 5)()
    let program: Inference<Tuple<>, Tuple<Tensor>> = compose(
      Plate("particle", count: 299)(Self.step), empirical(first))
    #expect(throws: CoixError.unequalPlates(["\"particle\" of 300", "\"particle\" of 299"])) {
      try evaluate(program, seed: 0)()
    }
  }
}
