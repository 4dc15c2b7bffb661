import Coix
import Synchronization
import Testing

/// Tensors where they don't belong, evaluations within evaluations, gradients within gradients, ill-formed
/// programs.
@Suite struct MisuseTests {
  static let plate = Plate("particle", count: 100, chunkRows: 16)
  static let kernel = Kernel { (trace) in trace.sample("z", from: Normal(0, 1)) }
  static let elsewhere =
    "a tensor of another chunk or evaluation is used here; programs must not keep tensors in outer variables"

  /// What a closure that isn't pure keeps.
  final class Box: Sendable {
    private let content = Mutex<Tensor?>(nil)
    var tensor: Tensor? { content.withLock { $0 } }
    /// Puts a tensor in, unless there is one.
    func put(_ tensor: Tensor) { content.withLock { if $0 == nil { $0 = tensor } } }
  }

  // MARK: Tensors of another chunk

  /// A batched tensor that an earlier evaluation leaked.
  private func leaked(rows: Int = 100) throws -> Tensor {
    let box = Box()
    let leaking = Kernel { (trace) in
      let z = trace.sample("z", from: Normal(0, 1))
      box.put(z)
      return z
    }
    _ = try evaluate(Plate("particle", count: rows)(leaking), seed: 1)()
    return try #require(box.tensor)
  }

  @Test func aTensorLeakedFromOneChunkToAnother() throws {
    let box = Box()
    let leaking = Kernel { (trace) in
      let z = trace.sample("z", from: Normal(0, 1))
      box.put(z)
      return trace.sample("y", from: Normal(box.tensor ?? 0, 1))
    }
    let options = EvaluationOptions(workers: try Workers(threads: 1))
    let text = message { try evaluate(Self.plate(leaking), seed: 1, options: options)() }
    #expect(text == #"at site "y": Normal.sample: "# + Self.elsewhere)
    try expectThatEvaluationsWork()
  }

  @Test func aTensorLeakedFromAnotherEvaluation() throws {
    let stray = try leaked()
    let using = Kernel { (trace) in trace.sample("y", from: Normal(stray, 1)) }
    #expect(
      message { try evaluate(Self.plate(using), seed: 1)() } == #"at site "y": Normal.sample: "#
        + Self.elsewhere)
    #expect(message { try evaluate(using, seed: 1)() } == #"at site "y": Normal.sample: "# + Self.elsewhere)
    let observing = Model { (trace) in
      let z = trace.sample("z", from: Normal(0, 1))
      trace.observe("x", stray, from: Normal(z, 1))
      return z
    }
    #expect(
      message { try evaluate(Self.plate(observing), seed: 1)() } == #"at site "x": Normal.logProb: "#
        + Self.elsewhere)
    try expectThatEvaluationsWork()
  }

  /// Also where nothing is computed from it: as output, value, input, parameter, data.
  @Test func aLeakedTensorThatIsOnlyHandedOn() throws {
    for rows in [3, 100, 5_000] {
      let stray = try leaked(rows: rows)
      let returning = Kernel { (trace) in
        _ = trace.sample("z", from: Normal(0, 1))
        return stray
      }
      let expected = "output: " + Self.elsewhere
      #expect(message { try evaluate(Plate("particle", count: 2_000)(returning), seed: 1)() } == expected)
      #expect(message { try evaluate(returning, seed: 1)() } == expected)
      let pointing = Kernel { (trace) in trace.sample("z", from: Delta(stray)) }
      #expect(
        message { try evaluate(Plate("particle", count: 2_000)(pointing), seed: 1)() }?.hasSuffix(
          Self.elsewhere) == true)
      let passing = Kernel { (trace, x: Tensor) in
        _ = trace.sample("z", from: Normal(0, 1))
        return x
      }
      #expect(
        message { try evaluate(Plate("particle", count: 2_000)(passing), seed: 1)(stray) }?.hasSuffix(
          Self.elsewhere) == true)
      #expect(message { try valueWithGradient(at: stray) { $0.sum() } }?.hasSuffix(Self.elsewhere) == true)
      #expect(
        message { try valueWithGradient(at: Tensor(1)) { _ in stray } }
          == "valueWithGradient: the value must be one number (shapes [])")
      let data = Plate("particle", count: rows).mapped(stray)
      #expect(message { try evaluate(Plate("particle", count: rows)(passing), seed: 1)(data) } != nil)
    }
    try expectThatEvaluationsWork()
  }

  @Test func mappedDataOutsideOfItsPlate() throws {
    let data = Self.plate.mapped(Tensor.zeros([100]))
    let expected =
      #"a tensor mapped over plate "particle" has values only inside of the plate's programs, "#
      + "which take it as an argument and don't capture it"
    let capturing = Kernel { (trace) in trace.sample("z", from: Normal(data, 1)) }
    #expect(message { try evaluate(Self.plate(capturing), seed: 1)() }?.hasSuffix(expected) == true)
    let returning = Kernel { (trace) in
      _ = trace.sample("z", from: Normal(0, 1))
      return data
    }
    #expect(
      message { try evaluate(Plate("particle", count: 20)(returning), seed: 1)() }
        == "reshaped: the numbers of elements differ (shapes [100], [20])")
    #expect(message { try valueWithGradient(at: Tensor(1)) { $0 * data } } == "*: " + expected)
    #expect(
      message { try valueWithGradient(at: data) { $0.sum() } }
        == "gradient: data mapped over a plate cannot be a parameter")
    try expectThatEvaluationsWork()
  }

  // MARK: Evaluations and gradients within programs

  @Test func evaluatingWithinAClosure() throws {
    let nested = Kernel { (trace) in
      let inner = try evaluate(Self.kernel, seed: 2)()
      return trace.sample("y", from: Normal(inner.output.values, 1))
    }
    let expected = "a program cannot be evaluated within a program's closure; use the combinators"
    #expect(message { try evaluate(Self.plate(nested), seed: 1)() } == expected)
    #expect(message { try evaluate(nested, seed: 1)() } == expected)
    try expectThatEvaluationsWork()
  }

  @Test func gradientsWithinClosuresAndGradients() throws {
    let expected = "gradient: a gradient within a program or another gradient computation is not supported"
    let nested = Kernel { (trace) in
      let slope = try valueWithGradient(at: Tensor(1)) { $0 * $0 }
      return trace.sample("y", from: Normal(slope.gradient, 1))
    }
    #expect(message { try evaluate(Self.plate(nested), seed: 1)() } == expected)
    let twice = message {
      try valueWithGradient(at: Tensor(2)) { x in try valueWithGradient(at: x) { $0 * $0 }.gradient }
    }
    #expect(twice == expected)
    try expectThatEvaluationsWork()
  }

  // MARK: Tensors of another gradient computation

  @Test func aTensorOfAnEarlierGradientComputation() throws {
    let (_, stale) = try valueWithGradient(at: Tensor(3)) { x in (x * x, x + x) }
    #expect(stale.scalar == 6)
    let expected =
      "gradient: a tensor of another gradient computation is used here; take its `detached` value"
    #expect(message { try valueWithGradient(at: Tensor(1)) { $0 * stale } } == expected)
    #expect(message { try valueWithGradient(at: Tensor(1)) { _ in stale } } == expected)
    let using = Kernel { (trace) in trace.sample("z", from: Normal(stale, 1)) }
    let within = message {
      try valueWithGradient(at: Tensor(1)) { x in
        let evaluation = try evaluate(Self.plate(using), seed: 1)()
        return evaluation.output.values.sum() * x
      }
    }
    #expect(within == expected || within == #"at site "z": "# + expected, "\(within ?? "")")
    // Its numbers are as good as any others.
    let detached = try valueWithGradient(at: Tensor(1)) { $0 * stale.detached }
    #expect(detached.gradient.scalar == 6)
    #expect(try evaluate(Self.plate(using), seed: 1)().output.values.shape == [100])
    #expect((stale + 1).scalar == 7)
    try expectThatEvaluationsWork()
  }

  @Test func aTrackedResultIsUsableAfterwards() throws {
    let (_, evaluation) = try valueWithGradient(at: ChainParameters()) { parameters in
      let evaluation = try evaluate(parameters.inference(Self.plate, loss: .elbo), seed: 5)(chainData)
      return (try evaluation.metrics.loss, evaluation)
    }
    let mean = evaluation.output.values.mean()
    #expect(mean.scalar.isFinite)
    #expect((evaluation.metrics.logWeight - 1).scalars.count == 100)
  }

  @Test func theValueOfAGradient() throws {
    let twoNumbers = message { try valueWithGradient(at: Tensor([1, 2])) { $0 * 2 } }
    #expect(twoNumbers == "valueWithGradient: the value must be one number (shapes [2])")
    let poisoned = message { try valueWithGradient(at: Tensor([1, 2])) { ($0 + Tensor([1, 2, 3])).sum() } }
    #expect(poisoned == "+: the shapes don't broadcast (shapes [2], [3])")
    let aside = message {
      try valueWithGradient(at: Tensor([1, 2])) { x in
        _ = x + Tensor([1, 2, 3])
        return x.sum()
      }
    }
    #expect(aside == "+: the shapes don't broadcast (shapes [2], [3])", "also if nothing depends on it")
    let parameters = message { try valueWithGradient(at: Tensor([1], shape: [2])) { $0.sum() } }
    #expect(parameters == "Tensor: 1 numbers given (shapes [2])")
    #expect(try valueWithGradient(at: Tensor([1, 2])) { _ in 3 }.gradient.scalars == [0, 0])
    #expect(try valueWithGradient(at: [Tensor]()) { _ in 3 }.value == 3)
  }

  // MARK: Ill-formed programs

  @Test func programsPutTogetherAtRunTime() throws {
    let kernel = AnyProgram(
      Kernel(tree: { (trace: KernelTrace, _: [Tensor]) in [trace.sample("z", from: Normal(0, 1))] }))
    let model = AnyProgram(
      Model(tree: { (trace: ModelTrace, _: [Tensor]) in [trace.sample("z", from: Normal(0, 1))] }))
    let proposed = try AnyProgram.propose(Self.plate(model), Self.plate(kernel))
    #expect([kernel.level, model.level, proposed.level] == [.kernel, .primitive, .inference])
    #expect(AnyProgram(kernel).level == .kernel)
    #expect(AnyProgram.compose(kernel, kernel).level == .kernel)
    #expect(AnyProgram.compose(kernel, model).level == .target)
    #expect(AnyProgram.compose(kernel, proposed).level == .inference)
    #expect(AnyProgram.resample(kernel).level == .inference)
    #expect(
      message { try AnyProgram.propose(proposed, kernel) }
        == "propose needs a target with a density; an inference program has none to evaluate")
    #expect(
      message { try Self.plate(proposed) }
        == "a plate goes around kernels, models and targets, not around an inference program")
    let evaluation = try evaluate(proposed, seed: 1).run([])
    #expect(evaluation.output.map(\.shape) == [[100]])
  }

  /// What the compiler refuses of typed programs, combinators of programs put together at run time throw.
  @Test func levelsAtRunTime() throws {
    let kernel = try Self.plate(
      AnyProgram(
        Kernel(tree: { (trace: KernelTrace, _: [Tensor]) in [trace.sample("z", from: Normal(0, 1))] })))
    let model = try Self.plate(
      AnyProgram(
        Model(tree: { (trace: ModelTrace, _: [Tensor]) in [trace.sample("z", from: Normal(0, 1))] })))
    let extended = try AnyProgram.extend(model, kernel)
    #expect(extended.level == .target)
    let noTargets = [
      try AnyProgram.propose(model, kernel), AnyProgram.resample(model),
      AnyProgram.foriLoop(0..<2, initial: kernel) { _, program in program },
      try AnyProgram.memoize(model, kernel, size: 2),
      AnyProgram.compose(kernel, AnyProgram.resample(kernel)),
      detach(AnyProgram.resample(kernel)),
      AnyProgram.empirical(try evaluate(kernel, seed: 1).run([])),
    ]
    for program in noTargets {
      #expect(program.level == .inference)
      #expect(
        message { try AnyProgram.propose(program, kernel) }
          == "propose needs a target with a density; an inference program has none to evaluate")
      #expect(
        message { try AnyProgram.memoize(program, kernel, size: 2) }
          == "memoize needs a target with a density; an inference program has none to evaluate")
      #expect(
        message { try AnyProgram.extend(program, kernel) }
          == "extend needs a target; an inference program has no density")
      #expect(
        message { try Self.plate(program) }
          == "a plate goes around kernels, models and targets, not around an inference program")
    }
    for program in noTargets + [model, extended, AnyProgram.compose(kernel, model)] {
      #expect(
        message { try AnyProgram.extend(model, program) }
          == "extend needs a kernel, which only samples, for auxiliary variables")
    }
    for program in [detach(kernel), stickTheLanding(kernel), suffix(kernel)] {
      #expect(program.level == .kernel)
      #expect(try AnyProgram.extend(model, program).level == .target)
    }
    // A loop's body that is refused is an error of the evaluation.
    let loop = AnyProgram.foriLoop(0..<2, initial: kernel) { _, program in
      try AnyProgram.propose(program, kernel)
    }
    #expect(
      message { try evaluate(loop, seed: 1).run([]) }
        == "propose needs a target with a density; an inference program has none to evaluate")
  }

  /// A program that says it takes and returns something else than it does.
  private struct Mislabelled<Input: TensorTree, Output: TensorTree>: KernelProgram {
    let node: ProgramNode
  }

  @Test func typesAtRunTime() throws {
    let step = Kernel { (trace, z: Tensor) in trace.sample("y", from: Normal(z, 1)) }
    let input = Mislabelled<Tuple<Tensor, Tensor>, Tuple<Tensor>>(node: step.node)
    #expect(
      message { try evaluate(input, seed: 1)(1, 2) }
        == "a program that takes Tuple<Pack{Tensor}> was given Tuple<Pack{Tensor, Tensor}>")
    let output = Mislabelled<Tuple<>, [Tensor]>(node: Self.kernel.node)
    let list = AnyProgram(Kernel(tree: { (_: KernelTrace, list: [Tensor]) in list }))
    #expect(
      message { try evaluate(compose(list, output), seed: 1)() }
        == "a program that takes Array<Tensor> was given Tuple<Pack{Tensor}>")
    #expect(
      message { try evaluate(output, seed: 1)() }?.hasPrefix("a program that takes Array<Tensor>") == true)
    try expectThatEvaluationsWork()
  }
}
