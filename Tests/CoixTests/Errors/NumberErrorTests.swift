import Coix
import Testing

/// Numbers that can't be: NaN in data, parameters outside of their domain, weights that are all -inf or NaN.
@Suite struct NumberErrorTests {
  static let checked = EvaluationOptions(checks: true)
  static let plate = Plate("particle", count: 100, chunkRows: 16)

  static let model = Model { (trace, x: Tensor) in
    let z = trace.sample("z", from: Normal(0, 1))
    trace.observe("x", x, from: Normal(z, 1))
    return z
  }

  /// Numbers, one of them replaced.
  static func data(_ count: Int, _ number: Float, at row: Int) -> Tensor {
    var scalars = Draw(key: 2, shape: [count]).normal().scalars
    scalars[row] = number
    return Tensor(scalars)
  }

  @Test(arguments: [0, 15, 16, 77, 99])
  func aNaNInMappedDataIsReportedWithItsRow(_ row: Int) throws {
    let data = Self.plate.mapped(Self.data(100, .nan, at: row))
    for threads in [1, 3] {
      let options = EvaluationOptions(workers: try Workers(threads: threads), checks: true)
      #expect(
        message { try evaluate(Self.plate(Self.model), seed: 1, options: options)(data) }
          == "stage 1: input 0 is NaN (particle \(row))")
    }
    // Without checks it is a value outside of the support, as in the reference.
    let evaluation = try evaluate(Self.plate(Self.model), seed: 1)(data)
    let weights = evaluation.metrics.logWeight.scalars
    #expect(weights[row] == -.infinity)
    #expect(weights.count(where: \.isFinite) == 99)
    try expectThatEvaluationsWork()
  }

  /// Of several NaNs the first row is reported, on any number of threads.
  @Test func theFirstNaNIsReported() throws {
    var scalars = Self.data(100, .nan, at: 40).scalars
    scalars[90] = .nan
    for threads in [1, 2, 16] {
      let options = EvaluationOptions(workers: try Workers(threads: threads), checks: true)
      let text = message {
        try evaluate(Self.plate(Self.model), seed: 1, options: options)(Self.plate.mapped(Tensor(scalars)))
      }
      #expect(text == "stage 1: input 0 is NaN (particle 40)")
    }
  }

  /// Also where a worker takes several chunks at a time.
  @Test func theFirstNaNOfManyChunksIsReported() throws {
    let plate = Plate("particle", count: 16_000, chunkRows: 16)
    var scalars = Draw(key: 2, shape: [16_000]).normal().scalars
    for row in [100, 130, 300, 15_999] { scalars[row] = .nan }
    for threads in [1, 2, 16] {
      let options = EvaluationOptions(workers: try Workers(threads: threads), checks: true)
      let text = message {
        try evaluate(plate(Self.model), seed: 1, options: options)(plate.mapped(Tensor(scalars)))
      }
      #expect(text == "stage 1: input 0 is NaN (particle 100)")
    }
  }

  @Test func aNaNInASharedInput() throws {
    #expect(
      message { try evaluate(Self.plate(Self.model), seed: 1, options: Self.checked)(Tensor(.nan)) }
        == "stage 1: input 0 is NaN (particle 0)")
    #expect(
      message { try evaluate(Self.model, seed: 1, options: Self.checked)(Tensor(.nan)) }
        == "stage 1: input 0 is NaN")
  }

  @Test func aNaNThatIsObserved() throws {
    let model = Model { (trace, x: Tensor) in
      let z = trace.sample("z", from: Normal(0, 1))
      trace.observe("x", log(x), from: Normal(z, 1))
      return z
    }
    let data = Self.plate.mapped(abs(Self.data(100, 1, at: 0)) * Self.sign(100, negativeAt: 33))
    #expect(
      message { try evaluate(Self.plate(model), seed: 1, options: Self.checked)(data) }
        == #"stage 1: the observed value of site "x" is NaN (particle 33)"#)
    #expect(throws: Never.self) { try evaluate(Self.plate(model), seed: 1)(data) }
  }

  static func sign(_ count: Int, negativeAt row: Int) -> Tensor {
    Tensor((0..<count).map { $0 == row ? -1 : 1 })
  }

  @Test func aNegativeScale() throws {
    let scales = Kernel { (trace, scale: Tensor) in trace.sample("z", from: Normal(0, scale)) }
    let data = Self.plate.mapped(Self.sign(100, negativeAt: 42))
    #expect(
      message { try evaluate(Self.plate(scales), seed: 1, options: Self.checked)(data) }
        == #"stage 1: site "z": scale must be positive, is -1.0 (particle 42)"#)
    #expect(throws: Never.self) { try evaluate(Self.plate(scales), seed: 1)(data) }
    for scale: Float in [0, -2, .infinity] {
      let expected = #"stage 1: site "z": scale must be positive, is \#(scale)"#
      #expect(
        message { try evaluate(Self.plate(scales), seed: 1, options: Self.checked)(Tensor(scale)) }
          == expected + " (particle 0)")
      #expect(message { try evaluate(scales, seed: 1, options: Self.checked)(Tensor(scale)) } == expected)
    }
    try expectThatEvaluationsWork()
  }

  @Test func probabilitiesAndLogits() throws {
    let coin = Kernel { (trace, p: Tensor) in trace.sample("c", from: Bernoulli(probabilities: p)) }
    #expect(
      message { try evaluate(Self.plate(coin), seed: 1, options: Self.checked)(1.5) }
        == #"stage 1: site "c": probability must be between 0 and 1, is 1.5 (particle 0)"#)
    let die = Kernel { (trace, p: Tensor) in trace.sample("d", from: Categorical(logits: p)) }
    #expect(
      message { try evaluate(Self.plate(die), seed: 1, options: Self.checked)(Tensor([0, .infinity])) }
        == #"stage 1: site "d": logit must be below +inf, is inf (particle 0)"#)
    let box = Kernel { (trace, low: Tensor) in trace.sample("u", from: Uniform(low, 1)) }
    #expect(
      message { try evaluate(Self.plate(box), seed: 1, options: Self.checked)(2) }
        == #"stage 1: site "u": high - low must be above 0, is -1.0 (particle 0)"#)
  }

  @Test func checksChangeNoNumber() throws {
    let data = Self.plate.mapped(Self.data(100, 0, at: 0))
    var (with, without) = (Bits(), Bits())
    with.add(try evaluate(Self.plate(Self.model), seed: 1, options: Self.checked)(data))
    without.add(try evaluate(Self.plate(Self.model), seed: 1)(data))
    #expect(with.differences(from: without) == [])
  }

  // MARK: Weights

  /// z ~ Uniform(0, 1), of which only values above `bound` have any weight.
  static func bounded(_ bound: Float) -> Model<Tuple<>, Tuple<Tensor>> {
    Model { (trace) in
      let z = trace.sample("z", from: Uniform(0, 1))
      trace.factor("bound", select(z .> bound, Tensor(0), Tensor(-.infinity)))
      return z
    }
  }

  static let uniform = Kernel { (trace) in trace.sample("z", from: Uniform(0, 1)) }

  @Test func allWeightsMinusInfinity() throws {
    let proposed = propose(Self.plate(Self.bounded(2)), Self.plate(Self.uniform))
    let expected = #"at site "bound": stage 1: the log-weights of all particles are -inf (instance 0)"#
    #expect(message { try evaluate(proposed, seed: 1)() } == expected)
    #expect(message { try evaluate(resample(proposed), seed: 1)() } == expected)
    #expect(message { try evaluate(resample(Self.plate(Self.bounded(2))), seed: 1)() } == expected)
    try expectThatEvaluationsWork()
  }

  /// The step that failed is the one that is named.
  @Test func allWeightsMinusInfinityInTheSecondStep() throws {
    let second = Model { (trace, z: Tensor) in
      let y = trace.sample("y", from: Uniform(0, 1))
      trace.factor("never", Tensor(-.infinity))
      return y
    }
    let kernel = Kernel { (trace, z: Tensor) in trace.sample("y", from: Uniform(0, 1)) }
    let first = resample(propose(Self.plate(Self.bounded(0.5)), Self.plate(Self.uniform)))
    let inference = propose(
      Self.plate(compose(second, Self.bounded(0.5), suffix: false)), compose(Self.plate(kernel), first))
    #expect(
      message { try evaluate(inference, seed: 1)() }
        == #"at site "never": stage 2: the log-weights of all particles are -inf (instance 0)"#)
  }

  @Test func oneInstanceWithoutAnyWeight() throws {
    let model = Model { (trace, bound: Tensor) in
      let z = trace.sample("z", from: Uniform(0, 1))
      trace.factor("bound", select(z .> bound, Tensor(0), Tensor(-.infinity)))
      return z
    }
    let kernel = Kernel { (trace, _: Tensor) in trace.sample("z", from: Uniform(0, 1)) }
    let instances = Plate("instance", count: 3)
    let proposed = propose(Self.plate(instances(model)), Self.plate(instances(kernel)))
    let expected = #"at site "bound": stage 1: the log-weights of all particles are -inf (instance 1)"#
    let data = instances.mapped(Tensor([0.5, 2, 0.5]))
    #expect(message { try evaluate(proposed, seed: 1)(data) } == expected)
    #expect(message { try evaluate(resample(proposed), seed: 1)(data) } == expected)
  }

  /// Each plate within the particles' is named.
  @Test func weightsWithinSeveralPlates() throws {
    let model = Model { (trace, bound: Tensor, weight: Tensor) in
      let z = trace.sample("z", from: Uniform(0, 1))
      trace.factor("bound", select(bound * weight .== 12, Tensor(-.infinity), Tensor(0)))
      return z
    }
    let kernel = Kernel { (trace, _: Tensor, _: Tensor) in trace.sample("z", from: Uniform(0, 1)) }
    let (digits, strokes) = (Plate("digit", count: 3), Plate("stroke", count: 4))
    let data = (digits.mapped(Tensor([1, 3, 5])), strokes.mapped(Tensor([1, 2, 3, 4])))
    let proposed = propose(Self.plate(digits(strokes(model))), Self.plate(digits(strokes(kernel))))
    let expected = #"at site "bound": stage 1: the log-weights of all particles are -inf (digit 1, stroke 3)"#
    #expect(message { try evaluate(proposed, seed: 1)(data.0, data.1) } == expected)
    #expect(message { try evaluate(resample(proposed), seed: 1)(data.0, data.1) } == expected)
    // Without weights before it, it is the resampling that finds them.
    let resampled = resample(Self.plate(digits(strokes(model))))
    #expect(message { try evaluate(resampled, seed: 1)(data.0, data.1) } == expected)
    let single = resample(Self.plate(strokes(model)), when: .ess(below: 0.5))
    #expect(
      message { try evaluate(single, seed: 1)(4, strokes.mapped(Tensor([1, 2, 3, 4]))) }
        == #"at site "bound": stage 1: the log-weights of all particles are -inf (stroke 2)"#)
    do {
      _ = try evaluate(proposed, seed: 1)(data.0, data.1)
    } catch CoixError.atSite(name: "bound", error: .weights(let instance, _)) {
      #expect(instance.stage == 1 && instance.row == 7)
      #expect(instance.plates.map(\.row) == [1, 3])
    }
  }

  /// Some weights of -inf are legal, and have no gradient.
  @Test func someWeightsMinusInfinity() throws {
    let scaled = Kernel { (trace) in trace.sample("z", from: Uniform(0, 1)) }
    for objective in [Objective.iwae] {
      let result = try valueWithGradient(at: Tensor(0.5)) { rate in
        let model = Model { (trace) in
          let z = trace.sample("z", from: Uniform(0, 1))
          trace.factor("bound", select(z .> 0.5, rate * z, Tensor(-.infinity)))
          return z
        }
        let inference = propose(
          Self.plate(model), resample(propose(Self.plate(model), Self.plate(scaled))), loss: objective)
        let evaluation = try evaluate(inference, seed: 1)()
        #expect(
          evaluation.output.values.scalars.allSatisfy { $0 > 0.5 }, "no particle of weight zero has children")
        return try evaluation.metrics.loss
      }
      #expect(result.value.isFinite)
      #expect(result.gradient.scalar.isFinite)
      #expect(result.gradient.scalar != 0)
    }
    let proposed = try evaluate(propose(Self.plate(Self.bounded(0.5)), Self.plate(Self.uniform)), seed: 1)()
    let alive = proposed.metrics.logWeight.scalars.count { $0 == 0 }
    #expect(alive > 20 && alive < 80)
    #expect(try proposed.metrics.ess.scalar == Float(alive))
  }

  @Test(arguments: [Float.nan, .infinity])
  func weightsThatAreNoNumbers(_ number: Float) throws {
    let model = Model { (trace) in
      let z = trace.sample("z", from: Uniform(0, 1))
      trace.factor("broken", select(z .> 0.9, Tensor(number), Tensor(0)))
      return z
    }
    let proposed = propose(Self.plate(model), Self.plate(Self.uniform))
    func expect(
      _ program: some InferenceProgram<Tuple<>, Tuple<Tensor>>, _ options: EvaluationOptions = .init()
    ) {
      let text = message { try evaluate(program, seed: 1, options: options)() }
      let parts = text?.split(separator: " ").map(String.init) ?? []
      #expect(parts.count == 14 && Int(parts[9]).map { (0..<100).contains($0) } == true, "\(text ?? "")")
      let expected =
        #"at site "broken": stage 1: the log-weight of particle \#(parts[9]) is "#
        + "\(number.isNaN ? "NaN" : "+inf") (instance 0)"
      #expect(text == expected)
    }
    expect(proposed)
    expect(resample(proposed))
    expect(resample(Self.plate(model)))
    try expectThatEvaluationsWork()
  }

  /// A proposal's site may be to blame, one of several, and also where a gradient is taken.
  @Test func theSiteToBlameForWeights() throws {
    let model = Model { (trace) in
      let z = trace.sample("z", from: Uniform(0, 1))
      trace.factor("fine", z)
      trace.factor("half", select(z .> 0.5, Tensor(0), Tensor(-.infinity)))
      trace.factor("most", select(z .> 0.2, Tensor(-.infinity), Tensor(0)))
      return z
    }
    let never = "stage 1: the log-weights of all particles are -inf (instance 0)"
    let proposed = propose(Self.plate(model), Self.plate(Self.uniform))
    #expect(message { try evaluate(proposed, seed: 1)() } == "at site \"most\": \(never)")
    let taken = message {
      _ = try valueWithGradient(at: Tensor(0)) { shift in
        let kernel = Kernel { (trace) in trace.sample("z", from: Uniform(shift, 1)) }
        let inference = propose(Self.plate(model), Self.plate(kernel), loss: .iwae)
        return try evaluate(inference, seed: 1)().metrics.loss
      }
    }
    #expect(taken == "at site \"most\": \(never)")
    let sure = Kernel { (trace) in trace.sample("z", from: Delta(Tensor(0.6), logDensity: Tensor(-.infinity)))
    }
    #expect(
      message { try evaluate(propose(Self.plate(Self.bounded(0.5)), Self.plate(sure)), seed: 1)() }
        == #"at site "z": stage 1: the log-weight of particle 0 is +inf (instance 0)"#)
    // The terms of all steps since the last resampling count.
    @Sendable func round(_ number: Int) -> Model<Tuple<Tensor>, Tuple<Tensor>> {
      let (below, above): (Float, Float) = number == 0 ? (-.infinity, 0) : (0, -.infinity)
      return Model { (trace, z: Tensor) in
        trace.factor("round \(number)", select(z .> 0.5, Tensor(above), Tensor(below)))
        return z
      }
    }
    let late = foriLoop(0..<2, initial: Self.plate(Self.uniform)) { compose(Self.plate(round($0)), $1) }
    let text = message { try evaluate(resample(late), seed: 1)() }
    #expect(text?.hasSuffix(never) == true && text?.hasPrefix("at site \"") == true, "\(text ?? "")")
  }
}
