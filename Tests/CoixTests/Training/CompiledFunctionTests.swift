import Coix
import ExampleModels
import Testing

/// A function that is recorded at its first call: later calls give the function's bits.
@Suite struct CompiledFunctionTests {
  static let plate = Plate("particle", count: 100, chunkRows: 16)

  /// Calls the function and its compiled form several times with each input and key, and compares the bits;
  /// gives how often the compiled form has run the function.
  private func runs<Input: TensorTree, Output: TensorTree>(
    _ inputs: [Input], sourceLocation: SourceLocation = #_sourceLocation,
    _ body: @escaping (Input, PRNGKey) throws -> Output
  ) throws -> Int {
    let compiled = compile(body)
    for (number, input) in (inputs + inputs).enumerated() {
      let key = PRNGKey(3).folded(in: number)
      var (own, found) = (Bits(), Bits())
      own.addTree("output", try body(input, key))
      found.addTree("output", try compiled(input, key: key))
      #expect(found.differences(from: own) == [], "call \(number)", sourceLocation: sourceLocation)
    }
    return compiled.runCount
  }

  /// Gradients of an autoencoder's losses, hot and after the barrier.
  @Test(arguments: [Objective.elbo, .iwae].map(\.name))
  func gradients(_ name: String) throws {
    let objective: Objective = name == "elbo" ? .elbo : .iwae
    let points = Draw(key: 7, shape: [100, 2]).normal()
    let runs = try runs([VAE(hidden: 8, key: 1), VAE(hidden: 8, key: 2), VAE(hidden: 8, key: 3)]) {
      vae, key in
      try valueWithGradient(at: vae) { vae in
        try evaluate(vae.inference(Self.plate, loss: objective), seed: key)(Self.plate.mapped(points)).metrics
          .loss
      }.gradient
    }
    #expect(runs == 1)
  }

  /// Two steps of a particle filter, its gradient through the resampling.
  @Test(arguments: ResamplingScheme.allCases)
  func resampling(_ scheme: ResamplingScheme) throws {
    var other = ChainParameters()
    other.proposalMean = -0.5
    let runs = try runs([ChainParameters(), other]) { parameters, key in
      let result = try valueWithGradient(at: parameters) { p -> Tensor in
        let first = resample(p.firstStep(Self.plate, loss: .iwae), scheme: scheme)
        let program = propose(p.target(Self.plate), compose(Self.plate(p.kernel), first), loss: .iwae)
        return try evaluate(program, seed: key)(chainData).metrics.loss
      }
      return result.gradient
    }
    #expect(runs == 1)
  }

  /// A program that reads a number of an argument, in a plate's closure, and decides by it.
  @Test func numbersThatAreReadInAPlate() throws {
    let runs = try runs([Tensor(1), Tensor(3), Tensor(2)]) { count, key in
      let kernel = Kernel { (trace) in
        let z = trace.sample("z", from: Normal(0, 1))
        return (0..<Int(count.scalar)).reduce(z) { sum, _ in sum * 2 }
      }
      return try evaluate(Self.plate(kernel), seed: key)().output.values
    }
    #expect(runs >= 3)
  }

  /// The same outside of plates.
  @Test func numbersThatAreRead() throws {
    _ = try runs([Tensor(1), Tensor(3), Tensor(2)]) { count, _ in
      (0..<Int(count.scalar)).reduce(count) { sum, _ in sum * 2 }
    }
  }

  /// A distribution that reads a parameter: as many trials as an argument says.
  @Test func trialsOfAnArgument() throws {
    _ = try runs([Tensor(2), Tensor(7), Tensor(4)]) { count, key in
      let kernel = Kernel { (trace) in
        trace.sample("z", from: Multinomial(count, logits: [0, 1, 2]))
      }
      return try evaluate(Self.plate(kernel), seed: key)().output.values
    }
    _ = try runs([Tensor(2), Tensor(7), Tensor(4)]) { count, key in
      let kernel = Kernel { (trace) in
        trace.sample("z", from: Multinomial(count, logits: [0, 1, 2]))
      }
      return try evaluate(kernel, seed: key)().output.values
    }
  }

  /// An index that an argument holds.
  @Test func positionsOfAnArgument() throws {
    let table = Tensor([10, 20, 30, 40])
    _ = try runs([Tensor([0, 1]), Tensor([3, 2]), Tensor([2, 2])]) { index, key in
      let kernel = Kernel { (trace) in
        trace.sample("z", from: Normal(table.gathered(at: index), 1).event(1))
      }
      return try evaluate(Self.plate(kernel), seed: key)().output.values
    }
    _ = try runs([Tensor([0, 1]), Tensor([3, 2]), Tensor([2, 2])]) { index, key in table.gathered(at: index) }
  }

  /// A power whose exponent is an argument.
  @Test func exponentsOfAnArgument() throws {
    _ = try runs([Tensor(2), Tensor(0.5), Tensor(-1)]) { exponent, key in
      let kernel = Kernel { (trace) in pow(exp(trace.sample("z", from: Normal(0, 1))), exponent) }
      return try evaluate(Self.plate(kernel), seed: key)().output.values
    }
  }

  /// Rejection, infinite numbers: a chunk that takes another way has the whole function run.
  @Test func guardsInPlates() throws {
    _ = try runs([Tensor(3), Tensor(12), Tensor(0.5)]) { rate, key in
      let kernel = Kernel { (trace) in trace.sample("z", from: Poisson(rate)) }
      return try evaluate(Self.plate(kernel), seed: key)().output.values
    }
    _ = try runs([Tensor(1), Tensor(.infinity), Tensor(2)]) { scale, key in
      try valueWithGradient(at: Tensor([1, 2, 3], shape: [1, 3])) { kernel in
        let program = Kernel { (trace) in
          let z = trace.sample("z", from: Normal(0, 1).expanded(to: [1]).event(1))
          return dense(z * scale, kernel: kernel, bias: nil).sum()
        }
        return try evaluate(Self.plate(program), seed: key)().output.values.sum()
      }.gradient
    }
  }

  /// A layer's kernel that becomes infinite: what its gradient computes then is another thing.
  @Test func guardsOfArguments() throws {
    let finite = Tensor([1, 2, 3], shape: [1, 3])
    _ = try runs([finite, Tensor([1, .infinity, 3], shape: [1, 3]), finite * 2]) { kernel, key in
      try valueWithGradient(at: kernel) { kernel in
        let program = Kernel { (trace) in
          let z = trace.sample("z", from: Normal(0, 1).expanded(to: [1]).event(1))
          return dense(z, kernel: kernel, bias: nil)[0]
        }
        let output = try evaluate(Self.plate(program), seed: key)().output.values
        return output.sum()
      }.gradient
    }
  }

  /// Parameters that are outside of their domain are the same error as ever.
  @Test func errorsOfParameters() throws {
    for plate in [Self.plate, Plate("particle", count: 10)] {
      func body(_ scale: Tensor, _ key: PRNGKey) throws -> Tensor {
        let kernel = Kernel { (trace) in trace.sample("z", from: Normal(0, scale)) }
        let output = try evaluate(plate(kernel), seed: key)().output.values
        return output
      }
      let compiled = compile(body)
      for scale: Tensor in [1, 2, -1, 3, .init(.nan), .init(.infinity), 0, 4] {
        var (own, found) = ("", "")
        do { own = try "\(body(scale, 1).scalars)" } catch { own = "\(error)" }
        do { found = try "\(compiled(scale, key: 1).scalars)" } catch { found = "\(error)" }
        #expect(own == found)
      }
    }
  }

  /// Shapes may change from call to call.
  @Test func otherShapes() throws {
    let inputs = [3, 5, 3, 4].map { Tensor((0..<$0).map(Float.init)) }
    let runs = try runs(inputs) { x, key in
      let plate = Plate("particle", count: x.shape[0] * 20, chunkRows: 16)
      let kernel = Kernel { (trace) in trace.sample("z", from: Normal(x, 1).event(1)) }
      return try evaluate(plate(kernel), seed: key)().output.values
    }
    #expect(runs == 3)
  }

  /// Arguments that are mapped over a plate.
  @Test func mappedArguments() throws {
    let inputs = (0..<3).map { Self.plate.mapped(Draw(key: PRNGKey(seed: $0), shape: [100, 2]).normal()) }
    let runs = try runs(inputs) { points, key in
      try valueWithGradient(at: VAE(hidden: 8, key: 1)) { vae in
        try evaluate(vae.inference(Self.plate, loss: .iwae), seed: key)(points).metrics.loss
      }.gradient
    }
    #expect(runs == 1)
  }

  /// Without any plate, and with a stage of one chunk.
  @Test func fewRows() throws {
    let runs = try runs([Tensor(0.5), Tensor(2)]) { scale, key in
      try valueWithGradient(at: scale) { scale in
        let kernel = Kernel { (trace) in trace.sample("z", from: Normal(0, scale)) }
        let alone = try evaluate(kernel, seed: key)().output.values
        let few = try evaluate(Plate("particle", count: 5)(kernel), seed: key.folded(in: 1))().output.values
        return alone.squared + few.squared.sum() * scale
      }.gradient
    }
    #expect(runs == 1)
  }

  /// Outputs that are the same for all particles, and gradients through them.
  @Test func uniformOutputs() throws {
    _ = try runs([Tensor(0.5), Tensor(2)]) { x, key in
      try valueWithGradient(at: x) { x in
        let kernel = Kernel { (trace) in
          let z = trace.sample("z", from: Normal(0, x))
          return (x * x, z)
        }
        let (square, z) = try evaluate(Self.plate(kernel), seed: key)().output.values
        return square.sum() + z.sum()
      }.gradient
    }
  }

  /// Values that stages hand on unread, gathered by several resamplings: the row numbers are multiplied when a
  /// chunk reads them for the first time, and are needed on the way back, too.
  @Test func valuesFromSeveralStepsBefore() throws {
    let runs = try runs([Tensor(0.5), Tensor(2)]) { scale, key in
      try valueWithGradient(at: scale) { scale in
        let first = Kernel { (trace) in trace.sample("start", from: Normal(0, scale)) }
        let next = Kernel { (trace, start: Tensor) in
          _ = trace.sample("x", from: Normal(0, 1))
          return start
        }
        let target = Model { (trace) in
          let start = trace.sample("start", from: Normal(1, 1))
          _ = trace.sample("x", from: Normal(start, 1))
          return start
        }
        let prior = Model { (trace) in trace.sample("start", from: Normal(0.5, 1)) }
        let q = resample(propose(Self.plate(prior), Self.plate(first), loss: .iwae))
        let twice = resample(propose(Self.plate(target), compose(Self.plate(next), q), loss: .iwae))
        let last = compose(Self.plate(Kernel { (trace, start: Tensor) in start * scale }), twice)
        let result = try evaluate(last, seed: key)()
        return try result.metrics.loss + result.output.values.squared.sum()
      }.gradient
    }
    #expect(runs == 1)
  }

  /// Several workers that need the same product of row numbers at once, in chunks that are recorded: lists of so
  /// many rows that their memory is given back as soon as nobody refers to them.
  @Test func rowNumbersForSeveralWorkers() throws {
    let options = EvaluationOptions(workers: try Workers(threads: 3))
    let plate = Plate("particle", count: 20_000)
    func body(_ scale: Tensor, _ key: PRNGKey) throws -> [Tensor] {
      let start = Model { trace in
        let x = trace.sample("x", from: Normal(0, scale))
        trace.observe("y", 1, from: Normal(x, 1))
        return x
      }
      let next = Model { (trace, x: Tensor) in
        let u = trace.sample("u", from: Normal(0, 1))
        trace.observe("v", 0.5, from: Normal(u, 1))
        return x
      }
      let filtered = (0..<4).reduce(resample(plate(start))) { q, _ in resample(compose(plate(next), q)) }
      let last = compose(plate(Kernel { (_, x: Tensor) in x * scale }), filtered)
      let output = try evaluate(last, seed: key, options: options)().output.values
      return [output]
    }
    for run in 0..<10 {
      let compiled = compile(workers: options.workers, body)
      for scale: Tensor in [0.5, 2] {
        var (own, found) = (Bits(), Bits())
        own.addTree("output", try body(scale, PRNGKey(seed: run)))
        found.addTree("output", try compiled(scale, key: run))
        #expect(found.differences(from: own) == [])
      }
    }
  }

  /// Large tensors that are the same each time: their memory is not kept while the function is recorded.
  @Test func largeConstants() throws {
    let captured = Draw(key: 5, shape: [40_000]).normal()
    let runs = try runs([Tensor(0.5), Tensor(2)]) { x, _ in
      let made = exp(captured) + Tensor.zeros([40_000])
      let written = Tensor((0..<40_000).map { Float($0 % 7) })
      return [(made * x).sum(), x * made[17], (written * x).sum(), made]
    }
    #expect(runs == 1)
  }

  /// Matrices of zeros and ones, by themselves and within a plate's programs.
  @Test func matricesOfZerosAndOnes() throws {
    let plate = Plate("particle", count: 100, chunkRows: 16)
    let runs = try runs([Tensor(0.5), Tensor(2)]) { x, key in
      let normal = MultivariateNormal(.zeros([3]), choleskyFactor: Tensor.lowerTriangle(3) * x)
      let kernel = Kernel { trace in
        trace.sample("z", from: normal) + matmul(Tensor.identity(3), Tensor([1, 2, 3])) * x
      }
      let output = try evaluate(plate(kernel), seed: key)().output.values
      return [Tensor.identity(4), Tensor.lowerTriangle(4), Tensor.identity(200) * x, output]
    }
    #expect(runs == 1)
  }

  /// Weights that are the same each time, some of which are replaced.
  @Test func smoothedWeights() throws {
    let logWeights = Tensor((0..<1_000).map { 3 * log(Float($0 % 37) + 0.5) })
    let runs = try runs([Tensor(0.5), Tensor(2)]) { x, _ in try paretoSmoothed(logWeights) * x }
    #expect(runs == 1)
  }

  /// Results that are mapped over a plate stay mapped, with all of their rows.
  @Test func mappedResults() throws {
    let plate = Self.plate
    let points = plate.mapped(Draw(key: 7, shape: [100]).normal())
    let kernel = Kernel { (_, x: Tensor) in x + 1 }
    func used(_ data: Tensor) throws -> [Float] {
      try evaluate(plate(kernel), seed: 1)(data).output.values.scalars
    }
    let identity = compile { (x: Tensor, _) in x }
    let mapping = compile { (x: Tensor, _) in plate.mapped(x * 2) }
    let rows = Tensor((0..<100).map(Float.init))
    for _ in 0..<3 {
      #expect(try used(identity(points, key: 1)) == used(points))
      #expect(try used(mapping(rows, key: 1)) == used(plate.mapped(rows * 2)))
    }
  }

  /// Particles whose sites nobody reads behind their stage, and weights that everybody reads.
  @Test func whatIsReadLater() throws {
    let plate = Plate("particle", count: 9_000)
    let model = Model { (trace) in
      let x = trace.sample("x", from: Normal(0, 1))
      let y = trace.sample("y", from: Normal(x, 1))
      trace.observe("z", 1, from: Normal(x + y, 1))
      return x
    }
    let kernel = Kernel { (trace, x: Tensor) in trace.sample("u", from: Normal(x, 1)) }
    let runs = try runs([Tensor(1), Tensor(2)]) { scale, key in
      let program = compose(plate(kernel), resample(propose(plate(model), plate(Self.guess(scale)))))
      let result = try evaluate(program, seed: key)()
      return [try result.metrics.logZ, result.output.values.sum()]
    }
    #expect(runs == 1)
  }

  private static func guess(_ scale: Tensor) -> Kernel<Tuple<>, Tuple<Tensor>> {
    Kernel { trace in
      let x = trace.sample("x", from: Normal(0, scale))
      return trace.sample("y", from: Normal(x, scale))
    }
  }

  /// Nested plates with data of the inner one.
  @Test func nestedPlates() throws {
    let (particles, instances) = (Plate("particle", count: 18, chunkRows: 64), Plate("instance", count: 40))
    let points = instances.mapped(Draw(key: 7, shape: [40]).normal())
    let runs = try runs([Tensor(0.5), Tensor(2)]) { scale, key in
      try valueWithGradient(at: scale) { scale in
        let model = Model { (trace, x: Tensor) in
          let z = trace.sample("z", from: Normal(0, 1))
          trace.observe("x", x, from: Normal(z, scale))
          return z
        }
        let proposal = Kernel { (trace, x: Tensor) in trace.sample("z", from: Normal(x * scale, 1)) }
        let program = propose(particles(instances(model)), particles(instances(proposal)), loss: .iwae)
        return try evaluate(program, seed: key)(points).metrics.loss
      }.gradient
    }
    #expect(runs == 1)
  }
}
