import CoixParallel

/// A run through an evaluation's stages.
struct EvaluationRun {
  let settings: EvaluationSettings
  let code: StageCode
  /// The register of the program's output.
  private let output: Register
  /// Whether each chunk takes its gradient as soon as it has run, while its tensors are still in cache.
  private let isHot: Bool
  /// The state between two stages, with tensors of the whole plate.
  var machine: Machine
  /// The barrier behind the last stage that has run.
  private var barrier: BarrierContext
  private var chunkCounts: [Int] = []
  private let files: ResultFiles
  /// The memory that the stages may take.
  let memory: MemoryAccount
  /// Whether the evaluation is a part of a recorded step, which keeps all of it.
  let isPartOfStep: Bool
  /// Whether stages run again, for the way back. They have had their memory before.
  var isRepeated = false
  /// Whether what lies between segments of stages is let go of; nil where the end of each segment shows it.
  var forgetsSegments: Bool?
  /// In a trial, what it stands for.
  let trial: EvaluationTrial?

  /// Writes the program as a list of stages.
  init(_ settings: EvaluationSettings) throws {
    self.settings = settings
    trial = nil
    isPartOfStep = ExecutionContext.current?.isRecorded ?? false
    let given = settings.input.tensors + settings.latents.values
    files = try ResultFiles(settings.options.files, reading: given, on: settings.options.workers.ranks)
    if settings.options.resultRows == .own, ExecutionContext.current?.recordsTape == true {
      throw CoixError.gradient(
        "an evaluation within a gradient computation cannot have its own rows of results alone (resultRows: .own)"
      )
    }
    for tensor in given { _ = try tensor.validated() }
    memory = MemoryAccount(try MemoryBudget(settings.options.memoryBudget), inputs: given)
    var code = StageCode(hasLatents: !settings.latents.isEmpty)
    try code.emit(settings.program, Place(input: .input, scope: .root, reader: .caller))
    self.code = code
    output = code.output
    // A chunk that goes backward at once can only sum gradients of tensors that are the same for all
    // particles.
    isHot =
      code.stages.count == 1 && code.hasRowLosses && !code.hasOtherLosses
      && !given.contains(where: \.isTrackedByRow)
    machine = Machine(for: code, settings)
    barrier = BarrierContext(
      stage: 1, plates: [], hasParticles: false, workers: settings.options.workers, memory: memory)
    if let path = settings.path {
      guard code.lastPlates.isEmpty else {
        throw CoixError.illFormedProgram(
          "enumerate: the program stands within a plate; enumerate it as it is for one row")
      }
      try machine.recorder(.root).path = path
    }
  }

  /// A trial of a run that has not begun, on this thread and rank alone. It uses no files.
  init(_ trial: EvaluationTrial, of run: EvaluationRun) throws {
    var settings = run.settings
    settings.options.workers = try Workers(threads: 1)
    settings.options.checks = false
    var code = StageCode(hasLatents: !settings.latents.isEmpty, isTrial: true)
    try code.emit(settings.program, Place(input: .input, scope: .root, reader: .caller))
    guard code.stages.count == run.code.stages.count else {
      throw CoixError.illFormedProgram("a program has other stages each time that it is looked at")
    }
    (self.settings, self.code, output, files) = (settings, code, code.output, run.files)
    (isHot, isPartOfStep, self.trial) = (run.isHot, run.isPartOfStep, trial)
    memory = MemoryAccount(run.memory)
    machine = Machine(for: code, settings)
    barrier = BarrierContext(
      stage: 1, plates: [], hasParticles: false, workers: settings.options.workers, memory: memory)
  }

  /// In an enumeration, the path with the turns that the run has taken.
  var path: SupportPath? { get throws { try machine.recorder(.root).path } }

  // MARK: Stages

  /// Whether segments of stages may be let go of within a gradient computation: not those of few stages, nor while steps are recorded
  /// or explained.
  var mayForgetSegments: Bool {
    code.stages.count >= 3 && !isPartOfStep && !settings.keepsWeightTerms && settings.path == nil
  }

  /// Runs all stages, and what happens at the barriers behind them.
  mutating func runStages() throws {
    try requireMemory()
    var segment = StageSegment(from: 0, of: &self)
    for index in code.stages.indices {
      try run(stage: index)
      guard let ended = segment, ended.ends(with: index, of: self) else { continue }
      try ended.end(self)
      segment = StageSegment(from: index + 1, of: &self)
    }
  }

  /// Runs a stage, and what happens at the barrier behind it.
  mutating func run(stage index: Int) throws {
    let stage = code.stages[index]
    barrier = BarrierContext(
      stage: index + 1, plates: stage.plates, hasParticles: stage.hasParticles,
      workers: settings.options.workers, memory: memory, trial: trial?.resampling(behind: index))
    if stage.readsInput {
      machine.set(.input, try settings.input.mapTensors { try placed($0, in: index) })
    }
    if !settings.latents.isEmpty { try machine.give(latents(in: index)) }
    let isLast = index == code.stages.count - 1
    do {
      if stage.hasRowWork {
        try runChunks(of: index, isLast: isLast)
      } else {
        machine = Machine(
          copying: machine, batch: barrier.population.batch, hasParticles: stage.hasParticles)
        for instruction in stage.instructions { try instruction(machine) }
        if isLast { try machine.dropUnwanted(settings.options.keep, files, output) }
      }
      try machine.resolveMetrics(barrier.resolve)
      try stage.barrier?(machine, barrier)
    } catch let error as CoixError {
      // Chunks and weights know their rows, not the stage and the plates that these belong to.
      throw error.located(stage: index + 1, stage.plates)
    }
  }

  /// Runs one stage on all chunks; the machine then holds tensors of the whole plate.
  private mutating func runChunks(of index: Int, isLast: Bool) throws {
    let stage = code.stages[index]
    let (before, batch, keep, files) = (machine, barrier.population.batch, settings.options.keep, files)
    let output = isLast ? output : nil
    var plan = StagePlan(
      rows: PlateRows(batch: batch), chunkRows: stage.plates.first?.chunkRows,
      workers: settings.options.workers, part: stage.plates.first?.part, isHot: isHot,
      isRecorded: settings.isRecorded)
    plan.writesFiles = isLast && !files.isEmpty
    plan.memory = memory
    plan.trial = trial?.rows(of: index)
    plan.isRepeated = isRepeated
    let result = try runStage(plan) { context in
      let chunk = Machine(
        copying: before, batch: batch, hasParticles: stage.hasParticles, context: context)
      if stage.readsInput { try chunk.loadInput() }
      for instruction in stage.instructions { try instruction(chunk) }
      guard let output else { return try chunk.leave(context) }
      try chunk.dropUnwanted(keep, files, output)
      return try chunk.leave(context, files, output)
    }
    guard let chunk = result.payload as? MergedChunk else {
      throw CoixError.illFormedProgram("a stage left nothing behind")
    }
    machine = try chunk.machine(merged: result.tensors, plateName: stage.plates.first?.name ?? "")
    chunkCounts.append(result.chunkCount)
  }

  /// The values given to sites, as a stage's plates read them. Those that don't fit the plates have failed;
  /// whether that is an error shows at their sites.
  private func latents(in stage: Int) -> [Site] {
    settings.latents.sorted { $0.key < $1.key }.map { name, value in
      do throws(CoixError) {
        return Site(name: name, value: try placed(value, in: stage), logProb: 0)
      } catch {
        return Site(name: name, value: .failed(error), logProb: 0)
      }
    }
  }

  /// Data mapped over a plate, as a stage's rows read it.
  private func placed(_ tensor: Tensor, in stage: Int) throws(CoixError) -> Tensor {
    try trial?.requireRows(of: tensor, in: stage)
    return try code.placed(tensor, in: code.stages[stage].plates)
  }

  // MARK: The result

  /// A result as it is handed out, with the rows that this rank is to have.
  private func rows(of tensor: Tensor, _ result: RowResult?) throws -> Tensor {
    try files.rows(of: tensor, result, of: barrier.population, ownAlone: settings.options.resultRows == .own)
  }

  /// What the program has left behind after all stages.
  func result<Output: TensorTree>() throws -> Evaluation<Output> {
    var trace = try machine.finishedTrace(.root)
    trace.plates = code.lastPlates
    for index in trace.sites.indices {
      let name = trace.sites[index].name
      trace.sites[index].value = try rows(of: trace.sites[index].value, .site(name))
      trace.sites[index].logProb = try rows(of: trace.sites[index].logProb, .logProb(name))
    }
    let isOutputKept = settings.options.keep != .metrics
    var names: ArraySlice<String> = []
    let taken = try machine.unkeptOutput ?? machine.take(output)
    if files.haveOutput { names = taken.namedTensors.map(\.name)[...] }
    let results = try taken.mapTensors { tensor in
      let name = names.popFirst()
      let goesToFile = name.map(files.haveOutput(named:)) ?? false
      return isOutputKept || goesToFile
        ? try rows(of: tensor, name.map { .output($0) }).validated() : .unkept
    }
    var running = try machine.recorder(.root).metrics ?? RunningMetrics()
    var logWeight = try rows(of: running.logWeight ?? Tensor(0), .logWeight)
    func find(_ result: RowResult) -> Tensor? {
      switch result {
      case .logWeight: logWeight
      case .site(let name): trace[name]?.value
      case .logProb(let name): trace[name]?.logProb
      case .output(let name): results.namedTensors.first { $0.name == name }?.tensor
      }
    }
    try files.finish(barrier.population, find)
    if let replacement = files.replacement(of: .logWeight) {
      (logWeight, running.logWeight) = (replacement, replacement)
    }
    if settings.options.keep == .everything {
      for index in trace.sites.indices {
        if let replacement = files.replacement(of: .site(trace.sites[index].name)) {
          trace.sites[index].value = replacement
        }
        if let replacement = files.replacement(of: .logProb(trace.sites[index].name)) {
          trace.sites[index].logProb = replacement
        }
      }
    } else {
      trace.sites = []
    }
    if files.haveOutput { names = results.namedTensors.map(\.name)[...] }
    let output: Output = try results.mapTensors { tensor in
      names.popFirst().flatMap { files.replacement(of: .output($0)) } ?? tensor
    }.typed()
    let metrics = Metrics(
      running, logWeight: logWeight,
      withoutSummary: code.isSingle ? .singleParticle : code.lastPlates.isEmpty ? .noPlate : .notAskedFor)
    return Evaluation(
      output: output, trace: trace, metrics: metrics,
      rows: settings.options.resultRows == .own
        ? barrier.population.ownParticles : 0..<barrier.population.particles, keep: settings.options.keep,
      hasParticles: barrier.population.hasParticles,
      steps: running.steps.compactMap(\.metrics),
      stageCount: chunkCounts.count, chunkCounts: chunkCounts)
  }
}
