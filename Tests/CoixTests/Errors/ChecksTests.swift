import Coix
import Testing

/// What check mode says of a NaN: the site, the step, and the first particle. ``NumberErrorTests`` has inputs
/// and parameters.
@Suite struct ChecksTests {
  private static let checked = EvaluationOptions(checks: true)
  private static let particles = Plate("particle", count: 40, chunkRows: 16)
  private static let instances = Plate("instance", count: 3)

  /// Zeros, but NaN for some particles.
  private static func broken(_ count: Int, at rows: Int...) -> Tensor {
    Tensor((0..<count).map { rows.contains($0) ? .nan : 0 })
  }

  /// A distribution that is broken on purpose where its parameter is NaN.
  private struct Fragile: Distribution {
    let parameter: Tensor
    var breaksValue = false
    var shape: Shape { parameter.shape }
    var eventRank: Int { 0 }
    var parameters: [DistributionParameter] { [] }
    func sample(_ draw: Draw) -> Tensor { breaksValue ? parameter : Tensor.zeros(shape) }
    func logProb(of value: Tensor, reducing: Int) -> Tensor { parameter }
    func mapParameters(_ transform: (Tensor) -> Tensor) -> Fragile {
      Fragile(parameter: transform(parameter), breaksValue: breaksValue)
    }
  }

  private static let fragile = Kernel { (trace, x: Tensor) in
    trace.sample("z", from: Fragile(parameter: x * 1))
  }

  private func text(
    _ program: some InferenceProgram<Tuple<Tensor>, some TensorTree>, _ data: Tensor,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> String? {
    var texts: Set<String?> = []
    for threads in [1, 3] {
      let options = EvaluationOptions(workers: try Workers(threads: threads), checks: true)
      texts.insert(
        message(sourceLocation: sourceLocation) { try evaluate(program, seed: 1, options: options)(data) })
    }
    #expect(texts.count == 1, "the same on any number of threads", sourceLocation: sourceLocation)
    return texts.first ?? nil
  }

  /// Under nested plates both rows are named.
  @Test func nestedPlates() throws {
    let program = Self.particles(Self.instances(Self.fragileByBoth))
    for (particle, instance) in [(0, 0), (7, 2), (39, 1)] {
      func negative(_ count: Int, at row: Int) -> Tensor { Tensor((0..<count).map { $0 == row ? -1 : 1 }) }
      let found = message {
        try evaluate(program, seed: 1, options: Self.checked)(
          Self.particles.mapped(negative(40, at: particle)), Self.instances.mapped(negative(3, at: instance)))
      }
      #expect(
        found
          == #"stage 1: the log-probability of site "z" is NaN (particle \#(particle), instance \#(instance))"#
      )
    }
    let input = Self.particles(Self.instances(Self.fragile))
    #expect(
      try text(input, Self.instances.mapped(Self.broken(3, at: 2)))
        == "stage 1: input 0 is NaN (particle 0, instance 2)")
    #expect(
      try text(input, Self.particles.mapped(Self.broken(40, at: 31, 35)))
        == "stage 1: input 0 is NaN (particle 31, instance 0)")
  }

  /// Broken where both inputs are negative.
  private static let fragileByBoth = Kernel { (trace, x: Tensor, y: Tensor) in
    trace.sample("z", from: Fragile(parameter: log(maximum(x, y))))
  }

  @Test func values() throws {
    let kernel = Kernel { (trace, x: Tensor) in
      trace.sample("z", from: Fragile(parameter: log(x), breaksValue: true))
    }
    let data = Tensor((0..<40).map { $0 == 23 ? -1 : 1 })
    #expect(
      try text(Self.particles(kernel), Self.particles.mapped(data))
        == #"stage 1: the value of site "z" is NaN (particle 23)"#)
    #expect(try text(kernel, -1) == #"stage 1: the value of site "z" is NaN"#)
  }

  @Test func logProbabilities() throws {
    let kernel = Kernel { (trace, x: Tensor) in trace.sample("z", from: Fragile(parameter: log(x))) }
    let data = Self.particles.mapped(Tensor((0..<40).map { $0 > 17 ? -1 : 1 }))
    #expect(
      try text(Self.particles(kernel), data)
        == #"stage 1: the log-probability of site "z" is NaN (particle 18)"#)
    let factor = Model { (trace, x: Tensor) in
      trace.plate("N", 4).factor("weight", log(x) + Tensor.zeros([4]))
      return x
    }
    #expect(
      try text(Self.particles(factor), data)
        == #"stage 1: the log-probability of site "weight" is NaN (particle 18)"#)
    let evaluation = try evaluate(Self.particles(kernel), seed: 1)(data)
    #expect(
      evaluation.trace["z"]?.logProb.scalars[18].isNaN == true, "without checks it is a number like any other"
    )
  }

  /// The step is the walk through the particles.
  @Test func laterSteps() throws {
    let p = ChainParameters()
    let kernel = Kernel { (trace, z: Tensor, x: Tensor) in
      trace.sample("y", from: Fragile(parameter: log(x[1]), breaksValue: true))
    }
    let first = p.firstStep(Self.particles, loss: nil)
    let program = propose(
      p.target(Self.particles), compose(Self.particles(kernel), resample(resample(first))))
    #expect(
      try text(program, [0.9, -0.4]) == #"stage 3: the value of site "y" is NaN (particle 0)"#)
    let scale = Kernel { (trace, z: Tensor, x: Tensor) in trace.sample("y", from: Normal(z, x[1])) }
    let second = propose(p.target(Self.particles), compose(Self.particles(scale), resample(first)))
    #expect(
      try text(second, [0.9, -0.4]) == #"stage 2: site "y": scale must be positive, is -0.4 (particle 0)"#)
  }

  /// At barriers the weights themselves, also without checks.
  @Test func weights() throws {
    let model = Model { (trace, x: Tensor, y: Tensor) in
      trace.factor("weight", log(x * y))
      return x
    }
    let signs = Self.particles.mapped(Tensor((0..<40).map { $0 == 9 || $0 == 30 ? -1 : 1 }))
    let program = resample(Self.particles(Self.instances(model)))
    #expect(
      message { try evaluate(program, seed: 0)(signs, Self.instances.mapped(Tensor([0, 1, 1]))) }
        == #"at site "weight": stage 1: the log-weights of all particles are -inf (instance 0)"#)
    #expect(
      message { try evaluate(program, seed: 0)(signs, Self.instances.mapped(Tensor([1, 1, 1]))) }
        == #"at site "weight": stage 1: the log-weight of particle 9 is NaN (instance 0)"#)
    let part = Self.particles.rows(20..<40)
    #expect(
      message {
        try evaluate(resample(part(Self.instances(model))), seed: 0)(
          part.mapped(Tensor((20..<40).map { $0 == 30 ? -1 : 1 })), Self.instances.mapped(Tensor([1, 1, 1])))
      } == #"at site "weight": stage 1: the log-weight of particle 30 is NaN (instance 0)"#)
    #expect(
      message {
        try evaluate(program, seed: 0)(1, Self.instances.mapped(Tensor([1, 1, -1])))
      } == #"at site "weight": stage 1: the log-weight of particle 0 is NaN (instance 2)"#)
    #expect(
      message {
        try evaluate(resample(program), seed: 0)(1, Self.instances.mapped(Tensor([1, .infinity, 1])))
      } == #"at site "weight": stage 1: the log-weight of particle 0 is +inf (instance 1)"#)
  }
}
