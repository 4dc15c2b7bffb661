import Coix
import Foundation
import Testing

/// What no later step reads is let go of, and changes no number.
@Suite struct MarginalTests {
  static let particles = Plate("particle", count: 300, chunkRows: 64)

  static let first = Model { trace in
    let h = trace.sample("h", from: Normal(-1, 0.8))
    let noise = trace.sample("noise", from: Normal(0, 1))
    trace.observe("y", 0.3, from: Normal(0, exp(h / 2) + noise.squared))
    return h
  }

  static func step(_ t: Int) -> Model<Tuple<Tensor>, Tuple<Tensor>> {
    Model { (trace, h: Tensor) in
      let next = trace.sample("h", from: Normal(0.95 * h - 0.05, 0.25))
      let noise = trace.sample("noise", from: Normal(0, 1))
      trace.observe("y", Tensor(Float(t) / 10), from: Normal(0, exp(next / 2) + noise.squared))
      return next
    }
  }

  typealias Filter = Inference<Tuple<>, Tuple<Tensor>>

  static func filter(_ steps: Int, _ change: @escaping @Sendable (Filter) -> Filter) -> Filter {
    foriLoop(1..<steps, initial: particles(first)) { t, q in
      compose(particles(step(t)), resample(change(q)))
    }
  }

  /// Weights, evidence, output and the values of the sites that are kept are those without it, bit by bit.
  @Test(arguments: [1, 3]) func changesNoNumber(_ threads: Int) throws {
    let options = EvaluationOptions(workers: try Workers(threads: threads))
    let whole = try evaluate(Self.filter(6) { $0 }, seed: 4, options: options)()
    let kept = try evaluate(Self.filter(6) { marginal($0, keeping: ["h"]) }, seed: 4, options: options)()
    #expect(kept.metrics.logWeight.scalars == whole.metrics.logWeight.scalars)
    #expect(try kept.metrics.logZ.scalar == whole.metrics.logZ.scalar)
    #expect(kept.output.values.scalars == whole.output.values.scalars)
    #expect(whole.trace.sites.count == 18)
    #expect(kept.trace.names == ["h", "h_PREV_", "noise", "y"])
    for name in kept.trace.names {
      let (found, expected) = (try #require(kept.trace[name]), try #require(whole.trace[name]))
      #expect(found.value.scalars == expected.value.scalars, "\(name)")
      #expect(found.logProb.scalars == expected.logProb.scalars, "\(name)")
    }
  }

  /// Gradients are the same, too.
  @Test func keepsGradients() throws {
    func gradient(_ change: @escaping @Sendable (Filter) -> Filter) throws -> Float {
      try valueWithGradient(at: Tensor(-1)) { mean in
        let first = Model { trace in
          let h = trace.sample("h", from: Normal(mean, 0.8))
          trace.observe("y", 0.3, from: Normal(0, exp(h / 2)))
          return h
        }
        let filter = foriLoop(1..<4, initial: Self.particles(first)) { t, q in
          compose(Self.particles(Self.step(t)), resample(change(q)))
        }
        return try evaluate(filter, seed: 2)().metrics.logWeight.logSumExp(axis: 0)
      }.gradient.scalar
    }
    let whole = try gradient { $0 }
    #expect(try gradient { marginal($0, keeping: ["h"]) } == whole)
    #expect(whole != 0)
  }

  /// An observation that nobody has weighed yet enters the weight; the site goes.
  @Test func weighsWhatItLetsGoOf() throws {
    let whole = try evaluate(Self.particles(Self.first), seed: 1)()
    let kept = try evaluate(marginal(Self.particles(Self.first), keeping: ["h"]), seed: 1)()
    #expect(kept.trace.names == ["h"])
    #expect(kept.metrics.logWeight.scalars == whole.metrics.logWeight.scalars)
    let nothing = try evaluate(marginal(Self.particles(Self.first), keeping: []), seed: 1)()
    #expect(nothing.trace.names == [])
    #expect(nothing.metrics.logWeight.scalars == whole.metrics.logWeight.scalars)
  }

  /// Names are those that the program's own evaluation has, wherever it stands.
  @Test func namesAreTheProgramsOwn() throws {
    let walk = Kernel { (trace, h: Tensor) in trace.sample("h", from: Normal(h, 1)) }
    let start = Kernel { trace in trace.sample("h", from: Normal(0, 1)) }
    let twice = Self.particles(compose(walk, start))
    let earlier = try evaluate(marginal(twice, keeping: ["h_PREV_"]), seed: 3)()
    #expect(earlier.trace.names == ["h"], "superfluous suffixes are taken off at the end")
    let around = compose(Self.particles(walk), marginal(twice, keeping: ["h"]))
    let result = try evaluate(around, seed: 3)()
    #expect(result.trace.names == ["h_PREV_", "h"])
    #expect(
      result.output.values.scalars
        == (try evaluate(compose(Self.particles(walk), twice), seed: 3)()).output.values.scalars)
  }

  /// As a proposal it is weighed by what it keeps: proper, here with the exact evidence.
  @Test func proposesWithWhatItKeeps() throws {
    let plate = Plate("particle", count: 40_000)
    let proposal = Kernel { trace in
      let center = trace.sample("center", from: Normal(1, 0.2))
      return trace.sample("z", from: Normal(center, 0.8))
    }
    let model = Model { trace in
      let z = trace.sample("z", from: Normal(0, 1))
      trace.observe("x", 1.25, from: Normal(z, 0.5))
    }
    let result = try evaluate(propose(plate(model), marginal(plate(proposal), keeping: ["z"])), seed: 0)()
    let exact = normalLogDensity(1.25, 0, 1.25.squareRoot())
    #expect(abs(Double(try result.metrics.logZ.scalar) - exact) < 0.02)
  }

  /// A further proposal divides by the densities of observations that were left out, also behind resamplings.
  @Test func observationsThatWereLeftOutArePaidFor() throws {
    let plate = Plate("particle", count: 20_000)
    func model(_ more: Bool) -> Model<Tuple<>, Tuple<Tensor>> {
      Model { trace in
        let x = trace.sample("x", from: Normal(0, 1))
        trace.observe("y", 1, from: Normal(x, 0.5))
        if more { trace.observe("z", 0.5, from: Normal(x, 1)) }
        return x
      }
    }
    let (target, proposal) = (plate(model(true)), plate(model(false)))
    let whole = try evaluate(propose(target, proposal), seed: 1)()
    let part = try evaluate(propose(target, marginal(proposal, keeping: ["x"])), seed: 1)()
    let (expected, found) = (whole.metrics.logWeight.scalars, part.metrics.logWeight.scalars)
    #expect(zip(expected, found).allSatisfy { abs($0 - $1) < 1e-5 })
    for condition in [ResamplingCondition.always, .ess(below: 0.01)] {
      let resampled = try evaluate(propose(target, resample(proposal, when: condition)), seed: 1)()
      let inside = resample(marginal(proposal, keeping: ["x"]), when: condition)
      let outside = marginal(resample(proposal, when: condition), keeping: ["x"])
      for program in [inside, outside] {
        let part = try evaluate(propose(target, program), seed: 1)()
        #expect(
          zip(part.metrics.logWeight.scalars, resampled.metrics.logWeight.scalars).allSatisfy {
            abs($0 - $1) < 1e-5
          })
      }
    }
    // The evidence of y and z together: a normal vector with covariance [[1.25, 1], [1, 2]].
    let determinant = 1.25 * 2 - 1.0
    let square = (2 * 1 - 2 * 1 * 0.5 + 1.25 * 0.25) / determinant
    let exact = -log(2 * Double.pi) - 0.5 * log(determinant) - 0.5 * square
    #expect(abs(Double(try part.metrics.logZ.scalar) - exact) < 0.02)
  }

  /// Values given by name are those of the stage's plates, also behind a resampling within.
  @Test func givenValuesBehindAResampling() throws {
    let start = Kernel { trace in trace.sample("a", from: Normal(0, 1)) }
    let walk = Kernel { (trace, a: Tensor) in trace.sample("b", from: Normal(a, 1)) }
    let few = Plate("particle", count: 3)
    let steps = compose(few(walk), resample(Self.particles(start), count: 3))
    let result = try evaluate(
      marginal(steps, keeping: ["b"]), latents: ["b": few.mapped([1, 2, 3])], seed: 0)()
    #expect(result.trace["b"]?.value.scalars == [1, 2, 3])
  }

  @Test func aNameThatIsNotThere() throws {
    let expected =
      #"site "k": marginal keeps it, but the program has no such site; there are "h", "noise", "y""#
    #expect(
      message { try evaluate(marginal(Self.particles(Self.first), keeping: ["h", "k"]), seed: 0)() }
        == expected)
    #expect(message { try evaluate(Self.filter(3) { marginal($0, keeping: ["k"]) }, seed: 0)() } == expected)
  }

  @Test func erased() throws {
    let kernel = AnyProgram(
      Kernel(tree: { (trace: KernelTrace, _: [Tensor]) in
        [trace.sample("a", from: Normal(0, 1)), trace.sample("b", from: Normal(0, 1))]
      }))
    let program = AnyProgram.marginal(try Self.particles(kernel), keeping: ["b"])
    #expect(program.level == .inference)
    #expect(try evaluate(program, seed: 0).run([]).trace.names == ["b"])
    #expect(
      message { try AnyProgram.extend(program, kernel) }
        == "extend needs a target; an inference program has no density")
  }
}
