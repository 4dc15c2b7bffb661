import CoixParallel

/// Training, one step after another: a loss, its gradient, and an optimiser's step, recorded at the first step and
/// replayed afterwards; see `compile`.
///
/// ```swift
/// let training = CompiledTraining(vae, by: Adam(for: vae)) { (vae, batch: Tensor, key) in
///   try evaluate(vae.inference(plate, loss: .elbo), seed: key, options: options)(batch).metrics.loss
/// }
/// for step in 1...1_000 {
///   let loss = try training.step(plate.mapped(batches[step]), key: key.folded(in: step))
/// }
/// let trained = try training.parameters
/// ```
///
/// Parameters and the optimiser's state stay in the recording's memory from step to step. Data of another form than
/// before, such as a shorter batch, is recorded too; the last four forms are kept. The training is used by one
/// thread at a time.
public final class CompiledTraining<Rule: Optimizer, Data: TensorTree> {
  public typealias Parameters = Rule.Parameters

  private let loss: (Parameters, Data, PRNGKey) throws -> Tensor
  private let workers: Workers
  private let checkedEvery: Int?
  /// The recorded steps, one for each form of the data, the last one used first.
  private var recorded: [RecordedStep] = []
  /// Whether the numbers of parameters and optimiser are those of the first recorded step, and not those of ``state``.
  private var stateIsRecorded = false
  private var state: TrainingState<Rule>
  private var stepCount = 0
  /// Steps in a row that a program could not take.
  private var failedInARow = 0
  private static var patience: Int { 3 }
  /// How many recorded steps are kept: a batch, and a shorter one that ends an epoch, need two.
  private static var mostRecorded: Int { 4 }

  private struct RecordedStep {
    let program: StepProgram
    /// The names of the data's tensors.
    let dataNames: [String]
  }

  /// Training that starts from some parameters.
  ///
  /// - Parameters:
  ///   - parameters: where the training starts.
  ///   - optimizer: the rule that takes the steps.
  ///   - workers: the threads for tensor operations outside of evaluations.
  ///   - checkedEvery: every so many steps the functions themselves run, too, and the bits are compared. nil for
  ///     never.
  ///   - loss: the loss of parameters, for a step's data and key.
  public init(
    _ parameters: Parameters, by optimizer: Rule, workers: Workers = .standard, checkedEvery: Int? = nil,
    loss: @escaping (Parameters, Data, PRNGKey) throws -> Tensor
  ) {
    state = TrainingState(parameters: parameters, optimizer: optimizer)
    self.workers = workers
    self.checkedEvery = checkedEvery.map { max($0, 1) }
    self.loss = loss
  }

  /// The parameters after the steps so far.
  ///
  /// - Throws: `CoixError.memory(what:bytes:)`.
  public var parameters: Parameters { get throws { try currentState().parameters } }

  /// The optimiser after the steps so far.
  ///
  /// - Throws: `CoixError.memory(what:bytes:)`.
  public var optimizer: Rule { get throws { try currentState().optimizer } }

  /// The steps that the optimiser has taken and skipped so far.
  public var counts: StepCounts { state.optimizer.counts }

  /// Goes on with another optimiser for the same parameters, for example one with another learning rate. The next
  /// step is recorded anew.
  ///
  /// - Throws: `CoixError.memory(what:bytes:)`.
  public func setOptimizer(_ optimizer: Rule) throws {
    state = TrainingState(parameters: try parameters, optimizer: optimizer)
    recorded = []
    stateIsRecorded = false
  }

  /// Takes a step.
  ///
  /// - Returns: the loss, before the step.
  /// - Throws: what the loss and the optimiser throw; `CoixError.memory(what:bytes:)`;
  ///   `CoixError.illFormedProgram(_:)` if a check finds that the recording does not give the loss's own numbers.
  @discardableResult
  public func step(_ data: Data, key: some RandomSeed) throws -> Float {
    try Task.checkCancellation()
    let key = key.prngKey
    return try workers.ranks.evaluating(with: key) { try take(data, key) }
  }

  private func take(_ data: Data, _ key: PRNGKey) throws -> Float {
    stepCount += 1
    if CompilationContext.refuseWithin() { return try runEagerly(data, key) }
    let tensors = data.flattened
    guard let program = try program(for: data, tensors) else { return try record(data, key) }
    let isChecked = checkedEvery.map(stepCount.isMultiple) ?? false
    let before = isChecked ? try currentState() : nil
    guard try program.run(tensors, keys: [key]) else { return try runEagerly(data, key) }
    failedInARow = 0
    state.optimizer.counts.take()
    if var own = before {
      let (value, _) = try advance(&own, data, key)
      try requireSameBits(
        try currentState().namedTensors + [("loss", Tensor(program.number(0)))], own.flattened + [value])
    }
    return program.number(0)
  }

  /// The recorded step for data of this form, with the state as it is now; nil if there is none.
  private func program(for data: Data, _ tensors: [Tensor]) throws -> StepProgram? {
    let names = tensors.isEmpty ? [] : data.namedTensors.map(\.name)
    guard
      let index = recorded.firstIndex(where: {
        $0.program.fitsBehindState(tensors) && (tensors.isEmpty || $0.dataNames == names)
      })
    else { return nil }
    if index > 0 || !stateIsRecorded {
      let current = try currentState().flattened
      let step = recorded.remove(at: index)
      guard step.program.fits(current + tensors) else { return nil }
      step.program.setState(current)
      recorded.insert(step, at: 0)
      stateIsRecorded = true
    }
    return recorded[0].program
  }

  private func currentState() throws -> TrainingState<Rule> {
    guard stateIsRecorded, let step = recorded.first else { return state }
    return try state.replacingTensors(by: step.program.state())
  }

  /// The step itself.
  private func advance(_ state: inout TrainingState<Rule>, _ data: Data, _ key: PRNGKey) throws -> (
    loss: Tensor, isTaken: Bool
  ) {
    let result = try valueWithGradient(at: state.parameters, workers: workers) { try loss($0, data, key) }
    let isTaken = try state.optimizer.update(&state.parameters, along: result.gradient)
    return (result.tensor, isTaken)
  }

  /// A step that does not go the recorded way: one that is skipped, for example.
  private func runEagerly(_ data: Data, _ key: PRNGKey) throws -> Float {
    var current = try currentState()
    // An optimiser counts the steps that it skips, also the one at which it gives up.
    defer {
      state = current
      stateIsRecorded = false
      failedInARow += 1
      if failedInARow >= Self.patience { recorded = [] }
    }
    let (value, _) = try advance(&current, data, key)
    return value.scalar
  }

  private func record(_ data: Data, _ key: PRNGKey) throws -> Float {
    let current = try currentState()
    state = current
    stateIsRecorded = false
    var (next, isTaken) = (current, true)
    let states = current.flattened
    let (results, made) = try StepProgram.record(
      states + data.flattened, stateCount: states.count, keys: [key], workers: workers
    ) { inputs, keys in
      next = try current.replacingTensors(by: inputs)
      let data = try data.replacingTensors(by: Array(inputs[states.count...]))
      let (value, taken) = try advance(&next, data, keys[0])
      isTaken = taken
      return next.flattened + [value]
    }
    state = try next.replacingTensors(by: results)
    // An optimiser may make its state at its first step.
    if isTaken, let made, results.count == states.count + 1 {
      made.setState(results)
      recorded.insert(
        RecordedStep(program: made, dataNames: data.namedTensors.map(\.name)), at: 0)
      recorded.removeLast(max(recorded.count - Self.mostRecorded, 0))
      stateIsRecorded = true
    }
    failedInARow = 0
    return results[results.count - 1].scalar
  }
}

extension CompiledTraining where Data == Tuple<> {
  /// Training by a loss that takes no data from step to step.
  public convenience init(
    _ parameters: Parameters, by optimizer: Rule, workers: Workers = .standard, checkedEvery: Int? = nil,
    loss: @escaping (Parameters, PRNGKey) throws -> Tensor
  ) {
    self.init(parameters, by: optimizer, workers: workers, checkedEvery: checkedEvery) { parameters, _, key in
      try loss(parameters, key)
    }
  }

  /// Takes a step.
  ///
  /// - Returns: the loss, before the step.
  /// - Throws: as ``step(_:key:)``.
  @discardableResult
  public func step(key: some RandomSeed) throws -> Float { try step(Tuple(), key: key) }
}
