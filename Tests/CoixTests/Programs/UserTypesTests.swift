import Coix
import Testing

/// Programs of a user's own types take part wherever those of the library do: they need a node, and say what
/// level they are.
@Suite struct UserTypesTests {
  /// A random walk with a scale of its own.
  struct Walk: KernelProgram {
    typealias Input = Tuple<Tensor>
    typealias Output = Tuple<Tensor>
    var scale: Tensor

    var node: ProgramNode {
      Kernel { [scale] (trace, x: Tensor) in trace.sample("x", from: Normal(x, scale)) }.node
    }
  }

  /// A joint model that is made of others.
  struct Tracking: TargetProgram {
    typealias Input = Tuple<Tensor>
    typealias Output = Tuple<Tensor>
    let observation: Float

    var node: ProgramNode {
      let sensor = Model { [observation] (trace, x: Tensor) in
        trace.observe("y", Tensor(observation), from: Normal(x, 0.5))
        return x
      }
      return compose(sensor, Walk(scale: 1), suffix: false).node
    }
  }

  @Test func theyCompose() throws {
    let particles = Plate("particle", count: 2_000)
    let target = particles(Tracking(observation: 0.8))
    let inference = propose(target, particles(Walk(scale: 2)), loss: .elbo)
    let start = particles.mapped(Tensor.zeros([2_000]))
    let result = try evaluate(inference, seed: 1)(start)
    // x ~ N(0, 1), y ~ N(x, 0.5): y ~ N(0, √1.25). Four standard errors of the mean weight, whose variance is
    // below 1.
    let exact = Normal(0, Tensor(Float(1.25).squareRoot())).logProb(of: 0.8).scalar
    #expect(try abs(result.metrics.logZ.scalar - exact) < 4 / Float(2_000).squareRoot())
    let extended = try evaluate(
      propose(
        extend(target, particles(Walk(scale: 1))),
        compose(particles(Walk(scale: 1)), particles(Walk(scale: 2)))),
      seed: 1)(start)
    #expect(try extended.metrics.logZ.scalar.isFinite)
  }

  /// Their parameters are trained like any other.
  @Test func gradientsReachTheirParameters() throws {
    let particles = Plate("particle", count: 100)
    let start = particles.mapped(Tensor.zeros([100]))
    let result = try valueWithGradient(at: Tensor(2)) { scale in
      let inference = propose(
        particles(Tracking(observation: 0.8)), particles(Walk(scale: scale)), loss: .elbo)
      return try evaluate(inference, seed: 1)(start).metrics.loss
    }
    #expect(result.gradient.scalar != 0 && result.gradient.scalar.isFinite)
  }
}
