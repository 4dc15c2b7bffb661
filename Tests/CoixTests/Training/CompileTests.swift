import Coix
import ExampleModels
import Testing

/// Functions and training that are recorded once and replayed: the same bits as without.
@Suite struct CompileTests {
  private let data = Draw(key: 4, shape: [500, 2]).normal()

  private func options(_ threads: Int) throws -> EvaluationOptions {
    EvaluationOptions(workers: try Workers(threads: threads), keep: .metrics)
  }

  // MARK: Functions

  /// A loss and its gradient: in one chunk, in many, and through a resampling.
  @Test(arguments: [1, 3], [100, 9_000])
  func aLossWithItsGradient(_ threads: Int, _ rows: Int) throws {
    let options = try options(threads)
    let plate = Plate("particle", count: rows)
    func loss(_ parameters: ChainParameters, _ key: PRNGKey) throws -> ValueWithGradient<ChainParameters> {
      try valueWithGradient(at: parameters) { parameters in
        try evaluate(parameters.inference(plate, loss: .iwae), seed: key, options: options)(chainData).metrics
          .loss
      }
    }
    let compiled = compile(workers: options.workers, loss)
    var parameters = ChainParameters()
    for seed in 0..<4 {
      let (own, replayed) = (try loss(parameters, PRNGKey(seed: seed)), try compiled(parameters, key: seed))
      #expect(bits(own) == bits(replayed))
      parameters = try parameters.mapTensors { $0 * 0.9 }
    }
    #expect(compiled.runCount == 1)
  }

  private func bits(_ tree: some TensorTree) -> [UInt32] {
    tree.namedTensors.flatMap { $0.tensor.scalars.map(\.bitPattern) }
  }

  /// A stage of one chunk that is too large to be kept is computed again on the way back, on its own rows: here after
  /// a stage of several chunks.
  @Test func aSingleChunkThatIsNotKept() throws {
    let (particles, sets) = (Plate("particle", count: 10), Plate("set", count: 20))
    // Five tensors of so many numbers for each row.
    @Sendable func long(_ x: Tensor, _ count: Int) -> Tensor {
      (0..<4).reduce(x * Tensor(repeating: 0.1, shape: [count])) { h, _ in tanh(h) }.mean()
    }
    func loss(_ location: Tensor, _ key: PRNGKey) throws -> ValueWithGradient<Tensor> {
      try valueWithGradient(at: location) { location in
        let first = Kernel { trace in long(trace.sample("x", from: Normal(location, 1)), 15_000) }
        let second = Kernel { (trace, h: Tensor) in trace.sample("y", from: Normal(h + long(h, 25_000), 1)) }
        let program = compose(
          particles(sets(second)), resample(particles(sets(first))), suffix: false)
        let result = try evaluate(program, seed: key)()
        #expect(result.chunkCounts[0] == 1 && result.chunkCounts[1] > 1)
        return result.output.values.mean()
      }
    }
    let compiled = compile(loss)
    for seed in 0..<3 {
      let location = Tensor(0.3 * Float(seed))
      #expect(bits(try loss(location, PRNGKey(seed: seed))) == bits(try compiled(location, key: seed)))
    }
    #expect(compiled.runCount == 1)
  }

  /// Data that are mapped over a plate are an argument like any other; another number of rows is recorded anew.
  @Test func mappedDataAndOtherShapes() throws {
    let options = try options(2)
    func weights(_ data: Tensor, _ key: PRNGKey) throws -> Tuple<Tensor, Tensor> {
      let metrics = try evaluate(
        VAE(key: 3).inference(Plate("particle", count: data.mappedOver?.rows ?? 0)), seed: key,
        options: options)(
          data
        ).metrics
      return Tuple(metrics.logWeight, try metrics.logZ)
    }
    let compiled = compile(workers: options.workers, weights)
    for (rows, seed) in [(300, 1), (300, 2), (100, 3), (300, 4), (100, 5), (5_000, 6), (5_000, 7)] {
      let points = Draw(key: PRNGKey(seed: 10 + seed), shape: [rows, 2]).normal()
      let mapped = Plate("particle", count: rows).mapped(points)
      #expect(bits(try weights(mapped, PRNGKey(seed: seed))) == bits(try compiled(mapped, key: seed)))
    }
    #expect(compiled.runCount == 3)
  }

  /// What is the same for all rows leaves a chunk as it is: computed from arguments it is computed again, and
  /// constants, also those that are made once for all programs, stay.
  @Test(arguments: [1, 3], [100, 9_000])
  func whatIsTheSameForAllRows(_ threads: Int, _ rows: Int) throws {
    enum Shared { static let location = Tensor.zeros([2]) + 0.5 }
    let options = EvaluationOptions(workers: try Workers(threads: threads))
    let plate = Plate("particle", count: rows)
    func run(_ scale: Tensor, _ key: PRNGKey) throws -> Tuple<Tensor, Tensor, Tensor> {
      let first = Kernel { trace in
        let x = trace.sample("x", from: Normal(Shared.location, exp(scale)).event(1))
        return (x, exp(scale) * 2, Tensor(3))
      }
      let second = Kernel { (trace, x: Tensor, doubled: Tensor, three: Tensor) in
        (trace.sample("y", from: Normal(x, doubled).event(1)), doubled * three, x)
      }
      let program = compose(plate(second), resample(plate(first)), suffix: false)
      let result = try evaluate(program, seed: key, options: options)()
      let output = result.output.values
      return Tuple(output.0, output.1, output.2)
    }
    let compiled = compile(workers: options.workers, run)
    for (seed, scale) in [0.1, -0.4, 0.3].enumerated() {
      let own = try run(Tensor(Float(scale)), PRNGKey(seed: seed))
      #expect(bits(own) == bits(try compiled(Tensor(Float(scale)), key: seed)))
    }
    #expect(compiled.runCount == 1)
  }

  /// Operations outside of programs: arithmetic, reductions, draws, indices.
  @Test func operationsOutsideOfPrograms() throws {
    func body(_ x: Tensor, _ key: PRNGKey) throws -> Tensor {
      let (first, second) = key.split()
      let noise =
        Draw(key: first, shape: [4, 4]).normal() + Draw(key: second.folded(in: 7), shape: [4]).uniform()
      let rows = x.sampledRows(3, key: second)
      return (matmul(rows, noise).softmax(axis: -1) * exp(x[0..<3])).cumulativeSum(axis: 1)
        + Tensor.concatenate([noise[0..<2], noise[2..<3]]).sum(axis: 1, keepingAxes: true)
    }
    let compiled = compile(body)
    for seed in 0..<5 {
      let x = Draw(key: PRNGKey(seed: 100 + seed), shape: [6, 3]).normal()
      let square = Tensor.concatenate([x, x[0..<6].sum(axis: 1, keepingAxes: true)], axis: 1)
      #expect(bits(try body(square, PRNGKey(seed: seed))) == bits(try compiled(square, key: seed)))
    }
    #expect(compiled.runCount == 1)
  }

  /// A function that reads numbers, and may decide by them, runs itself each time.
  @Test func whatReadsNumbersIsNotReplayed() throws {
    let compiled = compile { (x: Tensor, key: PRNGKey) in x.scalar > 0 ? x * 2 : x * 3 }
    #expect(try compiled(1, key: 0).scalar == 2)
    #expect(try compiled(-1, key: 0).scalar == -3)
    #expect(compiled.runCount == 2)
    let drawing = compile { (x: Tensor, key: PRNGKey) in
      Draw(key: key, shape: []).integers(in: 0..<2)[0] == 0 ? x : -x
    }
    let signs = try (0..<20).map { try drawing(1, key: $0).scalar }
    #expect(Set(signs) == [1, -1])
  }

  /// Whether a resampling happens depends on the weights.
  @Test func conditionalResampling() throws {
    let options = try options(1)
    let plate = Plate("particle", count: 100)
    func evidence(_ scale: Tensor, _ key: PRNGKey) throws -> Tensor {
      let model = Model { trace in
        let x = trace.sample("x", from: Normal(0, 1))
        trace.observe("y", 1, from: Normal(x, scale))
        return x
      }
      return try evaluate(resample(plate(model), when: .ess(below: 0.5)), seed: key, options: options)()
        .metrics
        .ess
    }
    let compiled = compile(evidence)
    for (scale, seed) in [(10, 1), (0.01, 2), (10, 3)] as [(Tensor, Int)] {
      #expect(bits(try evidence(scale, PRNGKey(seed: seed))) == bits(try compiled(scale, key: seed)))
    }
  }

  @Test func checksFindWhatIsNoArgument() throws {
    let calls = Counter()
    let compiled = compile(checkedEvery: 3) { (x: Tensor, _) in
      calls.add(1)
      return x * Tensor(Float(calls.value))
    }
    #expect(try compiled(1, key: 0).scalar == 1)
    #expect(try compiled(1, key: 0).scalar == 1, "replayed")
    let error = #expect(throws: CoixError.self) { try compiled(1, key: 0) }
    #expect(
      error?.description
        == "compile: the result is not what the function itself gives; it depends on something that is neither an "
        + "argument nor a constant")
    let sound = compile(checkedEvery: 1) { (x: Tensor, _) in x * 2 }
    for _ in 0..<3 { #expect(try sound(3, key: 0).scalar == 6) }
    #expect(sound.runCount == 3)
  }

  /// Errors are the function's own, whenever they come.
  @Test func errors() throws {
    let options = try options(1)
    let plate = Plate("particle", count: 20)
    func evidence(_ observed: Tensor, _ key: PRNGKey) throws -> Tensor {
      let model = Model { trace in
        let x = trace.sample("x", from: Normal(0, 1))
        trace.observe("y", observed, from: Uniform(0, 1))
        return x
      }
      let prior = Kernel { trace in trace.sample("x", from: Normal(0, 1)) }
      return try evaluate(propose(plate(model), plate(prior)), seed: key, options: options)().metrics.logZ
    }
    let compiled = compile(evidence)
    #expect(try compiled(0.5, key: 1).scalar == 0)
    let own = #expect(throws: CoixError.self) { try evidence(2, PRNGKey(seed: 1)) }
    let replayed = #expect(throws: CoixError.self) { try compiled(2, key: 1) }
    #expect(own == replayed)
    #expect(try compiled(0.5, key: 1).scalar == 0)
    #expect(throws: CoixError.self) { try compiled(Tensor([1, 2]) + Tensor([1, 2, 3]), key: 1) }
  }

  // MARK: What is not an argument

  /// Within another recording, or a gradient, a compiled function is a part of that.
  @Test func nestedFunctions() throws {
    let inner = compile { (x: Tensor, _) in x * 2 }
    #expect(try inner(1, key: 0).scalar == 2)
    #expect(try valueWithGradient(at: Tensor(3)) { try inner($0, key: 0) }.gradient.scalar == 2)
    let outer = compile { (x: Tensor, key: PRNGKey) in try inner(x, key: key) + 1 }
    for x in [1, 5, 7] as [Float] { #expect(try outer(Tensor(x), key: 0).scalar == 2 * x + 1) }
    let training = CompiledTraining(Tensor(1), by: SGD(learningRate: 0.25)) { x, _ in x.squared }
    let stepping = compile { (_: Tensor, key: PRNGKey) in Tensor(try training.step(key: key)) }
    #expect(try (0..<3).map { try stepping(0, key: $0).scalar } == [1, 0.25, 0.0625])
  }

  /// Numbers that a chunk's program reads, also those that are computed from arguments.
  @Test(arguments: [20, 100])
  func numbersThatProgramsRead(_ rows: Int) throws {
    let plate = Plate("particle", count: rows, chunkRows: 16)
    func total(_ count: Tensor, _ key: PRNGKey) throws -> Tensor {
      let kernel: Kernel<Tuple<>, Tuple<Tensor>> = Kernel { trace in
        var sum = trace.sample("x", from: Normal(0, 1))
        for _ in 0..<Int((count * 2).scalar) { sum = sum + 1 }
        return sum
      }
      let result = try evaluate(plate(kernel), seed: key)()
      return result.output.values
    }
    let compiled = compile(total)
    for (count, seed) in [(1, 1), (3, 2), (2, 3)] as [(Tensor, Int)] {
      #expect(bits(try total(count, PRNGKey(seed: seed))) == bits(try compiled(count, key: seed)))
    }
    let printed = compile { (x: Tensor, _) in Tensor(Float("\(x)".count)) + x[0] }
    #expect(try printed([1, 2], key: 0).scalar != printed([1, 2.125], key: 0).scalar)
    let byKey = compile { (x: Tensor, key: PRNGKey) in key.word1 % 2 == 0 ? x : -x }
    #expect(try (0..<4).map { try byKey(1, key: $0).scalar } == [1, -1, 1, -1])
    let byEquality = compile { (x: Tensor, key: PRNGKey) in key == PRNGKey(seed: 2) ? x : -x }
    #expect(try (0..<4).map { try byEquality(1, key: $0).scalar } == [-1, -1, 1, -1])
  }

  /// The same tensors in another structure are another input.
  @Test func otherStructures() throws {
    func sum(_ tensors: [Tensor]) -> Tensor { tensors.reduce(Tensor(0)) { $0 + $1 } }
    let sums = compile { (x: Tuple<[Tensor], [Tensor]>, _) -> Tensor in
      let (first, second) = x.values
      return sum(first) * 10 + sum(second)
    }
    #expect(try sums(Tuple([1, 2], [3]), key: 0).scalar == 33)
    #expect(try sums(Tuple([1], [2, 3]), key: 0).scalar == 15)
    let named = compile { (x: [String: Tensor], _) in (x["a"] ?? 0) * 10 + (x["b"] ?? 0) }
    #expect(try named(["a": 1], key: 0).scalar == 10)
    #expect(try named(["b": 1], key: 0).scalar == 1)
  }

  /// A constant that was captured stays, even if its owner lets go of it.
  @Test func capturedConstants() throws {
    final class Box { var tensor = Tensor(repeating: 3, shape: [50]) }
    let box = Box()
    let compiled = compile { (x: Tensor, _) in (x * box.tensor).sum() }
    #expect(try compiled(1, key: 0).scalar == 150)
    box.tensor = 0
    let others = (0..<100).map { Tensor(repeating: Float($0), shape: [50]) }
    #expect(try compiled(2, key: 0).scalar == 300)
    #expect(others.count == 100)
  }

  /// An optimiser that makes its state at its first step.
  private struct Momentum: Optimizer {
    var velocity: [Tensor] = []
    var counts = StepCounts()

    mutating func update(_ parameters: inout Tensor, along gradient: Tensor) throws -> Bool {
      let next = velocity.isEmpty ? gradient : velocity[0] * 0.5 + gradient
      velocity = [next]
      parameters = parameters - 0.125 * next
      counts.take()
      return true
    }
    mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
      try visitor.visit("velocity", &velocity)
    }
  }

  @Test func optimisersOfOnesOwn() throws {
    var (x, momentum) = (Tensor(4), Momentum())
    let training = CompiledTraining(x, by: momentum) { x, _ in x.squared }
    for _ in 0..<6 {
      let own = try valueWithGradient(at: x) { $0.squared }
      _ = try momentum.update(&x, along: own.gradient)
      #expect(try training.step(key: 0) == own.value)
    }
    #expect(bits(try training.parameters) == bits(x))
    #expect(try training.optimizer.stepCount == 6)
  }

  // MARK: Training

  /// As if each step were taken by itself: the autoencoder (one chunk), the annealed sampler of many stages, and
  /// in many chunks.
  @Test(arguments: [1, 3])
  func trainingIsTheStepsThemselves(_ threads: Int) throws {
    let options = try options(threads)
    let data = data
    try expectSameTraining(VAE(key: 3), steps: 20, options.workers) { vae, key in
      let (batchKey, key) = key.split()
      let plate = VAE.plate(300)
      let batch = plate.mapped(data.sampledRows(300, key: batchKey))
      return try evaluate(vae.inference(plate, loss: .elbo), seed: key, options: options)(batch).metrics.loss
    }
    for objective in [Objective.elbo, .iwae] {
      let plate = Plate("particle", count: 2_000, chunkRows: 48)
      try expectSameTraining(ChainParameters(), steps: 6, options.workers) { parameters, key in
        try evaluate(parameters.inference(plate, loss: objective), seed: key, options: options)(chainData)
          .metrics
          .loss
      }
    }
  }

  private func expectSameTraining<Parameters: TensorTree>(
    _ initial: Parameters, steps: Int, _ workers: Workers, sourceLocation: SourceLocation = #_sourceLocation,
    loss: @escaping (Parameters, PRNGKey) throws -> Tensor
  ) throws {
    var (parameters, optimizer) = (initial, Adam(for: initial, learningRate: 0.01))
    let runs = Counter()
    let training = CompiledTraining(initial, by: optimizer, workers: workers) { parameters, key in
      runs.add(1)
      return try loss(parameters, key)
    }
    for step in 1...steps {
      let key = PRNGKey(seed: 9).folded(in: step)
      let own = try valueWithGradient(at: parameters, workers: workers) { try loss($0, key) }
      try optimizer.update(&parameters, along: own.gradient)
      let value = try training.step(key: key)
      #expect(value.bitPattern == own.value.bitPattern, sourceLocation: sourceLocation)
    }
    #expect(bits(try training.parameters) == bits(parameters), sourceLocation: sourceLocation)
    #expect(bits(try training.optimizer) == bits(optimizer), sourceLocation: sourceLocation)
    #expect(try training.optimizer.stepCount == steps, sourceLocation: sourceLocation)
    #expect(runs.value == 1, sourceLocation: sourceLocation)
  }

  /// A step whose gradient is not finite is skipped, as the optimiser does it, and counted.
  @Test func skippedSteps() throws {
    func loss(_ x: Tensor, _ data: Tensor) -> Tensor { (x * data).squared.sum() }
    let start = Tensor([1, 2])
    var (x, optimizer) = (start, Adam(for: start))
    let training = CompiledTraining(start, by: optimizer) { (x, data: Tensor, _) in loss(x, data) }
    for data in [1, 2, .infinity, 3, .nan, .nan, 4, 5] as [Float] {
      let data = Tensor([data, 1])
      let own = try valueWithGradient(at: x) { loss($0, data) }
      try optimizer.update(&x, along: own.gradient)
      let value = try training.step(data, key: 0)
      #expect(value.bitPattern == own.value.bitPattern || (value.isNaN && own.value.isNaN))
    }
    #expect(bits(try training.parameters) == bits(x))
    #expect(try training.optimizer.stepCount == 5)
    #expect(try training.optimizer.skippedCount == 3)
    #expect(
      try training.optimizer.lastSkippedStep?.description == optimizer.lastSkippedStep?.description)
  }

  /// Another learning rate from some step on, and another rule.
  @Test func anotherLearningRate() throws {
    let start = Tensor([1, 2])
    var (x, optimizer) = (start, SGD<Tensor>(learningRate: 0.1))
    let training = CompiledTraining(start, by: optimizer, checkedEvery: 2) { x, _ in
      (x - 3).squared.sum()
    }
    for step in 0..<6 {
      if step == 3 {
        optimizer.learningRate = 0.01
        try training.setOptimizer(optimizer)
      }
      let own = try valueWithGradient(at: x) { ($0 - 3).squared.sum() }
      try optimizer.update(&x, along: own.gradient)
      #expect(try training.step(key: 0) == own.value)
    }
    #expect(bits(try training.parameters) == bits(x))
  }

  /// A batch of another size is recorded once, too, and training goes on where it was.
  @Test func batchesOfOtherSizes() throws {
    var (scale, optimizer) = (Tensor(1), Adam(for: Tensor(1), learningRate: 0.1))
    let runs = Counter()
    let training = CompiledTraining(scale, by: optimizer) { (scale, batch: Tensor, _) in
      runs.add(1)
      return (scale * batch).squared.mean() - log(scale)
    }
    for (step, rows) in [8, 8, 3, 8, 8].enumerated() {
      let batch = Draw(key: PRNGKey(seed: step), shape: [rows]).normal()
      let own = try valueWithGradient(at: scale) { ($0 * batch).squared.mean() - log($0) }
      try optimizer.update(&scale, along: own.gradient)
      #expect(try training.step(batch, key: 0).bitPattern == own.value.bitPattern)
    }
    #expect(bits(try training.parameters) == bits(scale))
    #expect(runs.value == 2)
  }

  /// The loss is that before the step, also where it is a parameter itself; and a state may be there twice.
  @Test func lossesAndStatesThatAreOneTensor() throws {
    let training = CompiledTraining(Tensor(1), by: SGD(learningRate: 0.25)) { x, _ in x }
    #expect(try (0..<4).map { try training.step(key: $0) } == [1, 0.75, 0.5, 0.25])

    struct Shadow: Optimizer {
      var adam: Adam<Tensor>
      var shadow: Tensor
      var counts: StepCounts {
        get { adam.counts }
        set { adam.counts = newValue }
      }

      mutating func update(_ parameters: inout Tensor, along gradient: Tensor) throws -> Bool {
        defer { shadow = parameters }
        return try adam.update(&parameters, along: gradient)
      }
      mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
        try visitor.visit("adam", &adam)
        try visitor.visit("shadow", &shadow)
      }
    }
    let start = Tensor([1, 2])
    var (x, rule) = (start, Shadow(adam: Adam(for: start, learningRate: 0.1), shadow: start))
    let shadowed = CompiledTraining(x, by: rule) { x, _ in x.squared.sum() }
    for _ in 0..<4 {
      let own = try valueWithGradient(at: x) { $0.squared.sum() }
      _ = try rule.update(&x, along: own.gradient)
      #expect(try shadowed.step(key: 0) == own.value)
    }
    #expect(bits(try shadowed.parameters) == bits(x))
    #expect(bits(try shadowed.optimizer) == bits(rule))
  }

  @Test func anotherOptimiser() throws {
    let start = Tensor([1, 2])
    let training = CompiledTraining(start, by: Adam(for: start)) { x, _ in x.squared.sum() }
    try training.step(key: 0)
    try training.setOptimizer(Adam(for: Tensor(repeating: 1, shape: [3_000])))
    #expect(throws: CoixError.self) { try training.step(key: 0) }
    try training.setOptimizer(Adam(for: start, epsilon: -1))
    #expect(throws: CoixError.self) { try training.step(key: 0) }
  }

  /// What bijectors remember of arguments and results counts.
  @Test func memoriesOfBijectors() throws {
    let tight = Normal(Tensor([0, -40, -40]), 1).event(1).transformed(by: Ordered())
    let x = tight.sample(Draw(key: 5, shape: [3]))
    let compiled = compile { (x: Tensor, _) in tight.logProb(of: x) }
    #expect(try compiled(x, key: 0).scalar == tight.logProb(of: x).scalar)
    let drawing = compile { (_: Tensor, key: PRNGKey) in tight.sample(Draw(key: key, shape: [3])) }
    #expect(try tight.logProb(of: drawing(0, key: 5)).scalar == tight.logProb(of: x).scalar)
  }

  /// Recordings are let go of, with all that they kept.
  @Test func recordingsAreReleased() throws {
    final class Witness: Sendable {}
    weak var witness: Witness?
    do {
      let kept = Witness()
      witness = kept
      let plate = Plate("particle", count: 200, chunkRows: 16)
      let compiled = compile { (x: Tensor, key: PRNGKey) in
        let kernel = Kernel { trace in
          _ = kept
          return trace.sample("z", from: Normal(x, 1))
        }
        return try evaluate(resample(plate(kernel)), seed: key)().metrics.logWeight
      }
      for seed in 0..<3 { _ = try compiled(0.5, key: seed) }
    }
    #expect(witness == nil)
  }

  @Test func cancellation() async throws {
    let task = Task {
      let training = CompiledTraining(Tensor(1), by: SGD(learningRate: 0.1)) { x, _ in x.squared }
      try training.step(key: 0)
      withUnsafeCurrentTask { $0?.cancel() }
      try training.step(key: 0)
    }
    await #expect(throws: CancellationError.self) { try await task.value }
  }
}
