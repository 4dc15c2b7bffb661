import CoixParallel

/// How a program is evaluated.
public struct EvaluationOptions: Sendable {
  /// What of the result is merged from the chunks.
  public enum Keep: Sendable {
    /// Output, trace and metrics.
    case everything
    /// Output and metrics.
    case output
    /// The metrics alone: nothing else is merged.
    case metrics
  }

  /// The threads to run on.
  public var workers: Workers
  /// What of the result is wanted.
  public var keep: Keep
  /// Whether inputs, parameters, values and log-probabilities are looked through for NaN and numbers outside of their domain. The
  /// error names the site, the step (a walk through the particles, from 1) and the first particle.
  public var checks: Bool
  /// Whether effective sample sizes and evidence of each step are reported, see ``Evaluation/steps``.
  public var steps: Bool

  /// Options.
  public init(
    workers: Workers = .standard, keep: Keep = .everything, checks: Bool = false, steps: Bool = false
  ) {
    self.workers = workers
    self.keep = keep
    self.checks = checks
    self.steps = steps
  }
}

/// What a program's run computed about itself.
public struct Metrics: Sendable {
  /// The log-weight of each particle, `[particles, instances…]`.
  public internal(set) var logWeight: Tensor
  /// The effective sample size, 1 / Σ softmax(w)², the mean over instances; nil outside of plates, without a proposal,
  /// and where the particles were resampled to ``ParticleCount/one``.
  public internal(set) var ess: Tensor?
  /// The log of the estimated evidence, summed over instances; nil outside of plates, without a proposal, and where the weights of
  /// single particles (``ParticleCount/one``) have changed after the resampling.
  public internal(set) var logZ: Tensor?
  /// The log-density of the target, mean over particles, summed over instances; nil without a proposal.
  public internal(set) var logDensity: Tensor?
  /// The loss; nil if no objective was asked for.
  public internal(set) var loss: Tensor?
  /// The latent values that ``memoize(_:_:memory:size:)`` has kept, `[samples, instances…, event…]` by site; nil without it.
  public internal(set) var memory: [String: Tensor]?
}

/// What a program's run left behind.
public struct Evaluation<Output: TensorTree>: Sendable {
  /// The program's output, `[particles, instances…, event…]` each.
  public let output: Output
  /// Every site; empty unless kept.
  public let trace: Trace
  /// Weights, evidence, loss.
  public let metrics: Metrics
  /// The plates at the end, outermost first.
  public var plates: [Plate] { trace.plates }
  /// What was kept of the result.
  public let keep: EvaluationOptions.Keep
  /// Whether the first plate is the particles'.
  let hasParticles: Bool
  /// The steps within plates that weighted or resampled particles, in the order in which they ran; empty unless
  /// ``EvaluationOptions/steps`` asks for them.
  public let steps: [StepMetrics]
  /// How many times the particles were walked through: one more than there were barriers.
  public let stageCount: Int
  /// The chunks of each stage.
  public let chunkCounts: [Int]
}

/// A program that is ready to be called with its input.
public struct Evaluator<Program: InferenceProgram> {
  let program: Program
  let latents: [String: Tensor]
  let key: PRNGKey
  let options: EvaluationOptions

  /// Runs the program.
  ///
  /// - Throws: a `CoixError` that names the site, plate or shapes; what the program's closures throw; `CancellationError`.
  @inlinable
  public func callAsFunction<each A: TensorTree>(_ input: repeat each A) throws -> Evaluation<Program.Output>
  where Program.Input == Tuple<repeat each A> {
    try run(Tuple(repeat each input))
  }

  /// Not with other arguments than those that the program takes.
  @available(*, unavailable, message: "the arguments are not of the types that the program takes, its Input")
  @_disfavoredOverload
  public func callAsFunction<each A: TensorTree>(_ input: repeat each A) throws -> Evaluation<Program.Output>
  {
    throw CoixError.illFormedProgram("the arguments are not of the types that the program takes")
  }

  /// Runs the program on a whole input tree.
  ///
  /// - Throws: as when it is called with the input's parts.
  public func run(_ input: Program.Input) throws -> Evaluation<Program.Output> {
    let run = EvaluationRun(options: options)
    return try run.evaluate(program.node, input: input, latents: latents, key: key).evaluation
  }
}

/// Evaluates `program`: `try evaluate(program, seed: 0)(input)`.
///
/// - Parameters:
///   - program: a program of any level.
///   - latents: values for latent sites, by the names that the sites have after suffixing; mapped over a plate, or the same for
///     all particles. A site that a combinator replays has log-probability -inf at any other value than its own. The sites are
///     those that reach the evaluation's trace: ``propose(_:_:loss:detach:)``, say, hands on those of its target. A name that none of
///     them has in this run is an error.
///   - seed: a whole number or any key. The same seed gives the same numbers, on any number of threads.
///   - options: threads, checks, and what of the result is wanted.
public func evaluate<Program: InferenceProgram>(
  _ program: Program, latents: [String: Tensor] = [:], seed: some RandomSeed,
  options: EvaluationOptions = EvaluationOptions()
) -> Evaluator<Program> {
  Evaluator(program: program, latents: latents, key: seed.prngKey, options: options)
}

/// The run of an evaluation's stages.
struct EvaluationRun {
  let options: EvaluationOptions

  /// Runs a program; with a path, on the values that the path has for its sites.
  func evaluate<Output: TensorTree>(
    _ node: ProgramNode, input: some TensorTree, latents: [String: Tensor], key: PRNGKey,
    path: SupportPath? = nil
  ) throws -> (evaluation: Evaluation<Output>, path: SupportPath?) {
    guard ExecutionContext.current?.isCaller ?? true else {
      throw CoixError.illFormedProgram(
        "a program cannot be evaluated within a program's closure; use the combinators")
    }
    if ExecutionContext.current != nil { return try explainedRun(node, input, latents, key, path) }
    let caller = ExecutionContext.caller(team: options.workers.team)
    return try caller.withCurrent {
      let result: (Evaluation<Output>, SupportPath?) = try explainedRun(node, input, latents, key, path)
      try caller.throwFailure()
      return result
    }
  }

  /// Runs a program; if its weights have no meaning once more, for the site that is to blame.
  private func explainedRun<Output: TensorTree>(
    _ node: ProgramNode, _ input: some TensorTree, _ latents: [String: Tensor], _ key: PRNGKey,
    _ path: SupportPath?
  ) throws -> (Evaluation<Output>, SupportPath?) {
    do {
      return try run(node, input, latents, key, path, keepsWeightTerms: false)
    } catch let error as CoixError {
      guard case .weights = error else { throw error }
      do {
        return try run(node, input, latents, key, path, keepsWeightTerms: true)
      } catch let explained as CoixError {
        if case .atSite(_, .weights) = explained { throw explained }
        throw error
      }
    }
  }

  private func run<Output: TensorTree>(
    _ node: ProgramNode, _ input: some TensorTree, _ latents: [String: Tensor], _ key: PRNGKey,
    _ path: SupportPath?, keepsWeightTerms: Bool
  ) throws -> (Evaluation<Output>, SupportPath?) {
    let given = input.flattened + latents.values
    for tensor in given { _ = try tensor.validated() }
    var code = StageCode(hasLatents: !latents.isEmpty)
    try code.emit(node, Place(input: .input, scope: .root))
    let output = code.output
    // Only gradients of what is the same for all particles can be summed while a chunk is hot.
    let isHot =
      code.stages.count == 1 && code.hasRowLosses && !code.hasOtherLosses
      && !given.contains(where: \.isTrackedByRow)
    let value = Typed(input)
    var machine = Machine(
      for: code, input: value, key: key, options: options, keepsWeightTerms: keepsWeightTerms)
    if let path {
      guard code.lastPlates.isEmpty else {
        throw CoixError.illFormedProgram(
          "enumerate: the program stands within a plate; enumerate it as it is for one row")
      }
      try machine.recorder(.root).path = path
    }
    var chunkCounts: [Int] = []
    var barrier = BarrierContext(
      batch: [], hasParticles: false, plateName: "", workers: options.workers, stage: 1)
    for (number, stage) in code.stages.enumerated() {
      let batch = stage.plates.map(\.count)
      barrier = BarrierContext(
        batch: batch, hasParticles: stage.hasParticles, plateName: stage.plates.first?.name ?? "",
        workers: options.workers, stage: number + 1)
      if stage.readsInput { machine.set(.input, try value.mapTensors { try Self.place($0, stage.plates) }) }
      if !latents.isEmpty { try machine.give(placed(latents, stage.plates)) }
      let isLast = number == code.stages.count - 1
      do {
        if stage.hasRowWork {
          let (next, chunks) = try run(
            stage, machine, batch: batch, isHot: isHot, output: isLast ? output : nil,
            plateName: barrier.plateName)
          machine = next
          chunkCounts.append(chunks)
        } else {
          machine = Machine(
            copying: machine, batch: batch, hasParticles: stage.hasParticles, context: nil)
          for instruction in stage.instructions { try instruction(machine) }
          if isLast { try machine.dropUnwanted(options.keep, output) }
        }
        try machine.resolveMetrics(barrier.resolve)
        try stage.barrier?(machine, barrier)
      } catch let error as CoixError {
        // Chunks and weights know their rows, not the step and the plates that these belong to.
        throw error.located(step: number + 1, stage.plates)
      }
    }
    return (
      try result(machine, output, barrier, code.lastPlates, chunkCounts), try machine.recorder(.root).path
    )
  }

  /// The values given to sites, for a stage's plates. Those that don't fit them have failed; whether anybody wants them shows at their
  /// sites.
  private func placed(_ latents: [String: Tensor], _ plates: [Plate]) -> [Site] {
    latents.sorted { $0.key < $1.key }.map { name, value in
      do throws(CoixError) {
        return Site(name: name, value: try Self.place(value, plates), logProb: 0)
      } catch {
        return Site(name: name, value: .failed(error), logProb: 0)
      }
    }
  }

  /// Data mapped over one of the plates, as the rows of all of them read it.
  static func place(_ tensor: Tensor, _ plates: [Plate]) throws(CoixError) -> Tensor {
    guard let (name, rows) = tensor.mappedOver else { return tensor }
    guard let position = plates.firstIndex(where: { $0.name == name }) else {
      throw CoixError.misplacedTensor(
        operation: "plate \"\(name)\"",
        reason: "data is mapped over it, but no program stands in a plate of this name")
    }
    let plate = plates[position]
    guard rows == plate.count else {
      throw CoixError.rowCount(plate: name, expected: plate.count, found: rows)
    }
    guard plates.count > 1 else { return tensor }
    let nest = PlateRows(
      particles: plates[0].count, instances: plates.dropFirst().reduce(1) { $0 * $1.count })
    guard nest.count <= Int32.max else {
      throw CoixError.memory(what: "mapping data over nested plates", bytes: .max)
    }
    let inner = plates[(position + 1)...].reduce(1) { $0 * $1.count }
    func index(_ rows: Int) -> RowIndex { RowIndex((0..<rows).map { Int32($0 / inner % plate.count) }) }
    if nest.isNested, !tensor.isTrackedByRow {
      // What only some plates' rows differ in stays so in the chunks.
      let whole = tensor.unmapped()
      return position == 0
        ? whole.mapped(plate: name, over: nest, along: .particles)
        : whole.mapped(
          plate: name, over: nest, along: .instances, index: plates.count > 2 ? index(nest.instances) : nil)
    }
    return RowGather(index(nest.count), plate: plates[0].name)(tensor)
  }

  /// Runs one stage on all chunks; the machine that comes out holds tensors of the whole plate.
  private func run(
    _ stage: StageCode.Stage, _ machine: Machine, batch: [Int], isHot: Bool, output: Register?,
    plateName: String
  ) throws -> (Machine, Int) {
    let plan = StagePlan(
      rows: PlateRows(batch: batch), chunkRows: stage.plates.first?.chunkRows,
      workers: options.workers,
      isHot: isHot)
    let keep = options.keep
    let result = try runStage(plan) { context in
      let chunk = Machine(
        copying: machine, batch: batch, hasParticles: stage.hasParticles, context: context)
      if stage.readsInput { try chunk.loadInput() }
      for instruction in stage.instructions { try instruction(chunk) }
      if let output { try chunk.dropUnwanted(keep, output) }
      return try chunk.leave(context)
    }
    guard let left = result.payload as? Machine.Remains else {
      throw CoixError.illFormedProgram("a stage left nothing behind")
    }
    return (try left.machine(merged: result.tensors, plateName: plateName), result.chunkCount)
  }

  private func result<Output: TensorTree>(
    _ machine: Machine, _ register: Register, _ barrier: BarrierContext, _ plates: [Plate],
    _ chunkCounts: [Int]
  ) throws -> Evaluation<Output> {
    let recorder = try machine.recorder(.root)
    var trace = try machine.finishedTrace(.root)
    trace.plates = plates
    for index in trace.sites.indices {
      trace.sites[index].value = barrier.wholePlate(trace.sites[index].value)
      trace.sites[index].logProb = barrier.wholePlate(trace.sites[index].logProb)
    }
    let output: Output =
      if let unkept = machine.unkeptOutput { try unkept.mapTensors { _ in Tensor.unkept }.typed() } else {
        try machine.take(register).mapTensors { try barrier.wholePlate($0).validated() }.typed()
      }
    let running = recorder.metrics ?? RunningMetrics()
    let metrics = Metrics(
      logWeight: barrier.wholePlate(running.logWeight ?? Tensor(0)), ess: running.ess?.tensor,
      logZ: running.logZ?.tensor, logDensity: running.logDensity?.tensor, loss: running.loss,
      memory: running.memory)
    return Evaluation(
      output: output, trace: trace, metrics: metrics, keep: options.keep, hasParticles: barrier.hasParticles,
      steps: running.steps.compactMap(\.metrics),
      stageCount: chunkCounts.count, chunkCounts: chunkCounts)
  }
}

extension Machine {
  /// What is left of a chunk's machine when its tensors have gone to be merged.
  struct Remains: @unchecked Sendable {
    // @unchecked: handed from the worker to the caller.
    fileprivate let machine: Machine
    /// For each tensor that the machine visits: its place among the exports, or -1 for one that stays.
    fileprivate let places: [Int]

    /// The machine of the whole plate.
    func machine(merged: [Tensor], plateName: String) throws -> Machine {
      // The chunk is over, and its machine nobody else's.
      machine.leaveChunk()
      var position = 0
      var views: [Tensor?] = Array(repeating: nil, count: merged.count)
      try machine.visit { kind, tensor in
        let place = places[position]
        position += 1
        guard place >= 0 else { return }
        if let view = views[place] {
          tensor = view
          return
        }
        let whole = merged[place]
        if case .rows = kind, whole.shape.rank > tensor.shape.rank {
          tensor = whole.mapped(plate: plateName)
        } else {
          tensor = whole
        }
        views[place] = tensor
      }
      return machine
    }
  }

  /// The chunk's tensors, to be merged with those of the others.
  fileprivate func leave(_ context: ExecutionContext) throws -> ChunkOutcome {
    var exports: [ChunkOutcome.Export] = []
    var places: [Int] = []
    exports.reserveCapacity(8)
    places.reserveCapacity(16)
    try visit { kind, tensor in
      switch kind {
      case .rows:
        guard tensor.leavesChunk(context) else { return places.append(-1) }
        if let mapped = mapped(tensor) {
          // Data that is handed on need not be merged: it is there.
          tensor = mapped
          return places.append(-1)
        }
        if let place = exports.firstIndex(where: { $0.isRows(of: tensor) }) { return places.append(place) }
        places.append(exports.count)
        exports.append(.rows(tensor))
      case .sum, .loss:
        places.append(exports.count)
        exports.append(.sum(tensor, isLoss: kind == .loss))
      }
    }
    return ChunkOutcome(
      exports: exports, signature: signature, payload: Remains(machine: self, places: places))
  }

  /// At the end of the last stage: completes the weight, and lets go of what nobody wants.
  ///
  /// - Throws: `CoixError.site(name:reason:)` for a value that is given to no site.
  fileprivate func dropUnwanted(_ keep: EvaluationOptions.Keep, _ output: Register) throws {
    let root = try recorder(.root)
    try root.requireSitesOfGiven()
    var metrics = root.metrics ?? RunningMetrics()
    // A program without a weight of its own has that of its observed sites.
    completeWeight(&metrics, root.sites)
    root.metrics = metrics
    switch keep {
    case .everything: break
    case .output: root.replaceSites { $0 = [] }
    case .metrics:
      root.replaceSites { $0 = [] }
      unkeptOutput = try take(output)
    }
  }
}
