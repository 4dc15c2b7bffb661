import CoixKernels
import Synchronization

/// Thrown if a chunk's sites or exports differ from those of the chunk that ended first.
struct ChunksDiffer: Error {
  let error: CoixError
}

/// One run of a stage, on a plate that is cut in one way, and what its backward pass needs.
final class StageRun: @unchecked Sendable {
  // @unchecked: shared with workers, which write only what they own (their chunk's rows, their task's sums),
  // or under a lock.

  /// A chunk that has run: its tape and what it exported.
  private struct Record {
    let tape: Tape
    let exports: [ChunkOutcome.Export]
    let scope: UInt32
  }

  private let plan: StagePlan
  private let tasks: ChunkTasks
  private let parent: Tape?
  private let body: @Sendable (ExecutionContext) throws -> ChunkOutcome
  private var chunkCount: Int { tasks.chunkCount }
  private let merged = Mutex<MergedExports?>(nil)
  /// The payload of the first chunk that runs here.
  private let payload = Mutex<(any Sendable)?>(nil)
  /// The tensors that the first chunk hands on as they are, exported or with its payload.
  private let kept = Mutex<[Tensor]>([])
  /// [export]: the first chunk's, for those that are the same for all rows.
  private let uniform = Mutex<[Tensor?]>([])
  /// [chunk]: the tapes that are kept.
  private let records: Table<Record?>?
  private let keptTapes: KeptTapes
  /// [task]: the gradients of the parent's uniform tensors that a hot stage took.
  private let hotSums: Table<GradientSums>?
  /// What is recorded of chunks, so that others can run without the body.
  private let forwardPlans: ChunkPlans
  private let backwardPlans: ChunkPlans
  /// The recording of the step that the stage is a part of.
  private let recording: Recording?
  /// What the chunks read that may be other ranks'.
  private let needs = RowNeeds()
  /// How often the ranks had met before the stage.
  private let meetings: Int64
  /// The forward pass in that recording.
  private var forwardReplay: StageReplay?
  /// Whether the stage's only chunk is a part of that recording.
  private var isPartOfRecording: Bool { recording != nil && chunkCount == 1 }

  init(
    plan: StagePlan, grid: ChunkGrid?, parent: Tape?,
    body: @escaping @Sendable (ExecutionContext) throws -> ChunkOutcome
  ) throws(CoixError) {
    self.plan = plan
    self.parent = parent
    self.body = body
    keptTapes = KeptTapes(plan.memory)
    tasks = ChunkTasks(grid: grid, workers: plan.workers, part: plan.part)
    recording = ExecutionContext.current?.recording
    recording?.discard()
    meetings = tasks.ranks.meetings
    let chunks = tasks.chunkCount
    let isRecorded =
      plan.isRecorded && (chunks >= Limits.replayedChunks || recording != nil) && chunks > 1
    // On the way back the first chunk will not do: it alone passes on the gradient of what is the same for all
    // rows. (As a part of a step, a stage with such gradients is not recorded.)
    forwardPlans = ChunkPlans(recordingFrom: isRecorded ? 0 : nil, allForms: recording != nil, of: tasks)
    backwardPlans = ChunkPlans(
      recordingFrom: !isRecorded ? nil : recording == nil ? 1 : 0, allForms: recording != nil, of: tasks)
    let keepsTapes = parent != nil && !plan.isHot
    records = keepsTapes ? try Table(count: chunks, for: "a plate cut into \(chunks) chunks") { nil } : nil
    hotSums = plan.isHot ? try tasks.makeSums() : nil
  }

  private func rows(of chunk: Int) -> ChunkRows { tasks.rows(of: chunk) }

  /// A chunk's results; exports that vary over some of the plates only are expanded to all of the chunk's
  /// rows.
  private func outcome(_ context: ExecutionContext) throws -> ChunkOutcome {
    var outcome = try body(context)
    for index in outcome.exports.indices { outcome.exports[index].takeAllRows() }
    // What each of several ranks is to have all of, the first of them writes at the end.
    if tasks.shares == nil, tasks.workers.ranks.count > 1 { outcome.files = [:] }
    return outcome
  }

  // MARK: Recording and running again

  /// Starts a recording of a chunk, if it is to be recorded; a stage's only chunk goes into the step's own.
  private func startRecording(_ plans: ChunkPlans, _ chunk: Int, _ context: ExecutionContext) -> Recording? {
    if isPartOfRecording {
      context.recording = recording
      return nil
    }
    guard plans.claims(chunk, rows(of: chunk)) else { return nil }
    let made = Recording(parent: recording)
    context.recording = made
    return made
  }

  /// Ends what ``startRecording(_:_:_:)`` has started. A chunk that lacks rows will be recorded when it runs again.
  ///
  /// - Parameter mark: what there was in the step's recording before.
  private func endRecording(
    _ made: Recording?, _ plans: ChunkPlans, _ chunk: Int, _ context: ExecutionContext,
    since mark: Recording.Mark?
  ) {
    context.recording = nil
    guard !context.lacking.isEmpty else { return }
    if made != nil { plans.unclaim(rows(of: chunk)) }
    if let mark { recording?.forget(after: mark) }
  }

  /// How much there is in the recording of the step that a stage's only chunk is a part of.
  private var mark: Recording.Mark? { isPartOfRecording ? recording?.mark : nil }

  /// Makes a plan of what a chunk has computed, with the gradients on its tape. Until then, other workers run
  /// the body on their chunks.
  private func publish(
    _ made: Recording?, of chunk: Int, to plans: ChunkPlans, _ tape: Tape?, keeping kept: [Tensor] = []
  ) {
    guard let made else { return }
    if recording != nil { needs.note(made.needs) }
    plans.add(
      ChunkPlan(made, of: rows(of: chunk), gradients: tape?.uniformGradients ?? [], keeping: kept))
  }

  /// Notes, in the step's recording, that the operations from here on run on the stage's only chunk.
  private func noteEntry(_ context: ExecutionContext) {
    guard isPartOfRecording, let recording else { return }
    guard context.rows > 0 else { return recording.append(coix_op_enter(nil)) }
    let place = RecordedPlace(context)
    recording.keep(owner: place)
    recording.append(coix_op_enter(place.pointer))
  }

  /// Makes memory that the stage's chunks write, and that outlives them.
  private func outsideOfChunk<Made>(_ context: ExecutionContext, _ make: () throws -> Made) rethrows -> Made {
    guard !isPartOfRecording else { return try make() }
    let chunks = context.recording
    context.recording = nil
    defer { context.recording = chunks }
    return try make()
  }

  // MARK: Forward

  func forward() throws -> StageResult {
    let isSame = try tasks.share(
      .forward, needs, form: { merged.withLock { $0?.form ?? 0 } }, runForward)
    guard isSame else {
      throw ChunksDiffer(
        error: .ranks(
          "chunks of different ranks make different sites or shapes; all ranks must run the same program"))
    }
    guard let merged = merged.withLock({ $0 }), let payload = payload.withLock({ $0.take() }) else {
      throw CoixError.illFormedProgram("a stage ran without any chunk")
    }
    try tasks.gather(merged.exchanges)
    try noteForward(merged)
    return StageResult(tensors: tracked(merged), payload: payload, chunkCount: chunkCount)
  }

  private func runForward(_ list: [Int]?) throws {
    for task in list ?? [] { hotSums?[task] = GradientSums() }
    try tasks.forEachChunk(in: list, of: recording, needs) { [self] chunk, task, context in
      try runForward(chunk, task, context)
      if plan.writesFiles, context.lacking.isEmpty { merged.withLock { $0 }?.stored(rows(of: chunk)) }
    }
  }

  private func runForward(_ chunk: Int, _ task: Int, _ context: ExecutionContext) throws {
    if try tasks.replay(forwardPlans, chunk, context, hotSums?[task]) { return }
    let mark = mark
    let made = startRecording(forwardPlans, chunk, context)
    defer { endRecording(made, forwardPlans, chunk, context, since: mark) }
    // In a hot stage, a chunk's tape goes back to the pool and is used again. In other stages it may be
    // kept for the backward pass.
    let pool = plan.isHot ? context.pool : nil
    let tape = parent.map { pool?.takeTape(parent: $0) ?? Tape(parent: $0) }
    defer { if let tape { pool?.giveTape(tape) } }
    context.enter(rows(of: chunk), number: chunk, tape: tape, mayBeCut: plan.chunkRows == nil)
    noteEntry(context)
    let outcome = try outcome(context)
    if context.hasOutgrown { throw ChunkOutgrown() }
    try context.throwFailure()
    try merge(outcome, chunk: chunk, context)
    let kept = chunk == tasks.firstChunk ? self.kept.withLock { $0 } : []
    guard let tape else { return publish(made, of: chunk, to: forwardPlans, nil, keeping: kept) }
    if plan.isHot {
      for case .sum(let loss, true) in outcome.exports where loss.node >= 0 {
        tape.add(context.seed(from: Tensor(1), like: tape.form(of: loss.node)), to: loss.node)
      }
      try tape.pullBack()
      if context.hasOutgrown { throw ChunkOutgrown() }
      try context.throwFailure()
      try hotSums?[task].add(tape)
    } else if !backwardPlans.mayClaim(chunk), keptTapes.keep(context.allocatedFloats) {
      records?[chunk] = Record(tape: tape, exports: outcome.exports, scope: context.scope)
    }
    publish(made, of: chunk, to: forwardPlans, plan.isHot ? tape : nil, keeping: kept)
  }

  /// Stores a chunk's exports at their rows, and its sums.
  private func merge(_ outcome: ChunkOutcome, chunk: Int, _ context: ExecutionContext) throws {
    if chunk == tasks.firstChunk {
      payload.withLock { $0 = outcome.payload }
      let uniform = outcome.exports.map { $0.isSum || $0.tensor.isBatched ? nil : $0.tensor.detached }
      self.uniform.withLock { $0 = uniform }
      if recording != nil { kept.withLock { $0 = outcome.kept + uniform.compactMap { $0 } } }
    }
    // A tensor that was leaked from another chunk has other rows. No operation of this chunk need have
    // noticed it yet.
    for export in outcome.exports { _ = try (export.tensor.refusal("output") ?? export.tensor).validated() }
    let merged = try merged.withLock { merged in
      if let merged { return merged }
      try plan.requireMemory(
        for: outcome, hasTape: parent != nil, rows: tasks.shares?.own.count ?? plan.rows?.count ?? 0)
      var inMemory = outcome
      if plan.trial != nil { inMemory.files = [:] }
      let made = try outsideOfChunk(context) {
        try MergedExports(of: inMemory, rows: plan.rows?.count, tasks, meetings: meetings)
      }
      plan.hold(made, of: outcome)
      merged = made
      return made
    }
    guard merged.signature == outcome.signature, merged.destinations.count == outcome.exports.count else {
      throw ChunksDiffer(
        error: .unstableSites(first: merged.signature.map(\.text), other: outcome.signature.map(\.text)))
    }
    var nextSum = 0
    for (export, destination) in zip(outcome.exports, merged.destinations) {
      let tensor = export.tensor
      guard destination.fits(export) else {
        throw ChunksDiffer(
          error: .shape(
            operation: "merge", shapes: [destination.shape, tensor.shape],
            reason: "a program must give the same shapes in every chunk"))
      }
      if export.isSum {
        coix_op_sum_rows(
          tensor.pointer, tensor.isBatched ? 0 : 1, merged.sums.pointer, merged.sumCount, nextSum
        ).run()
        nextSum += 1
      } else if let target = destination.rows {
        if plan.trial == nil {
          context.store(tensor, into: target.pointer)
        } else {
          coix_op_fill(target.pointer, 0, target.bufferCount, 1).run()
        }
      }
    }
  }

  /// Notes the stage's chunks in the step's recording.
  private func noteForward(_ merged: MergedExports) throws {
    guard let recording, !isPartOfRecording else { return }
    try needs.record(in: recording, for: tasks)
    if !plan.isRecorded { recording.refuse() }
    for address in forwardPlans.decisions { recording.noteReading(address) }
    var writes: [UnsafeMutableRawPointer] = []
    for tensor in merged.destinations.compactMap(\.rows) {
      recording.keep(tensor.storage)
      writes.append(tensor.pointer)
    }
    // A constant that the first chunk has made, such as a static property, others may read, too.
    var own: [Range<UnsafeRawPointer>] = []
    for tensor in kept.withLock({ $0 })
    where forwardPlans.prepare(tensor.pointer) && !recording.hasBuffer(at: tensor.pointer) {
      recording.keep(tensor.storage)
      writes.append(tensor.pointer)
      own.append(
        UnsafeRawPointer(tensor.pointer)..<UnsafeRawPointer(tensor.pointer + tensor.storage.capacity))
    }
    recording.keep(merged.sums.pointer, bytes: merged.sums.count * MemoryLayout<Double>.stride, merged.sums)
    writes.append(merged.sums.pointer)
    let replay = StageReplay(
      forwardPlans, on: tasks, results: writes, exchanges: merged.exchanges, constants: own)
    recording.append(replay)
    forwardReplay = replay
  }

  // MARK: Backward

  /// The merged tensors. Within a gradient computation they are tracked by the parent's tape, as outputs of
  /// one node.
  private func tracked(_ merged: MergedExports) -> [Tensor] {
    let destinations = merged.destinations
    var position = 0
    let uniform = uniform.withLock { $0 }
    let tensors = zip(destinations, uniform).map { destination, uniform -> Tensor in
      if let tensor = destination.rows ?? uniform { return tensor }
      guard let total = Tensor(undefined: .scalar) else { return .outOfMemory }
      coix_op_sum_chunks(merged.sums.pointer, total.pointer, chunkCount, merged.sumCount, position).run()
      position += 1
      return total
    }
    guard let parent, destinations.contains(where: \.isTracked) else { return tensors }
    // The stage's node comes before its outputs', so it runs when their gradients are complete.
    var outputs: [Int32] = []
    _ = parent.append(shape: .scalar, stride: 0, .always { tape in try self.backward(outputs, tape) })
    let result = zip(tensors, destinations).map { tensor, destination in
      destination.isTracked ? parent.record(tensor, .none) : tensor
    }
    outputs = result.map(\.node)
    return result
  }

  /// Propagates the gradients of the stage's outputs back to the nodes of the parent's tape that the stage
  /// read.
  private func backward(_ outputs: [Int32], _ tape: Tape) throws {
    var seeds: [Tensor?] = outputs.map { tape.takeGradient(of: $0) }
    let loss = merged.withLock { $0?.destinations.firstIndex(where: \.isLoss) }
    if hotSums != nil, let loss, let upstream = seeds[loss] {
      try deliver(hotSums, from: tasks, of: forwardReplay, scaledBy: upstream, to: tape)
      seeds[loss] = nil
    }
    guard seeds.contains(where: { $0 != nil }) else { return }
    let passesOnUniform = merged.withLock { merged in
      zip(merged?.destinations ?? [], seeds).contains { $0.passesOnUniform && $1 != nil }
    }
    var tasks = tasks
    var sums = try tasks.makeSums()
    let rows = plan.rows?.count ?? 0
    var rowGradients = RowGradients(of: tasks, rows: rows)
    func form() -> UInt64 { rowGradients.form }
    func run() throws -> Bool {
      for seed in seeds { if let seed { try RowNeed.bring(seed, to: tasks.shares?.all) } }
      return try untilRowsHaveCome {
        (sums, rowGradients) = (try tasks.makeSums(), RowGradients(of: tasks, rows: rows))
        return try tasks.share(.backward, needs, form: form) { list in
          for task in list ?? [] { sums[task] = GradientSums() }
          try runBackward(tasks, list, seeds, passesOnUniform, sums, rowGradients)
        }
      }
    }
    if try !run() {
      // The chunks of some rank don't read what others read. Rare as this is, each rank then takes all of the way back.
      tasks = tasks.undivided
      _ = try run()
    }
    try tasks.gather(rowGradients.exchanges)
    let replay = try noteBackward(tasks, rowGradients, passesOnUniform)
    try deliver(sums, from: tasks, of: replay, scaledBy: nil, to: tape)
    try rowGradients.deliver(
      to: tape, in: isPartOfRecording ? nil : recording, team: plan.workers.team)
  }

  /// Propagates the gradients of the stage's outputs back through the chunks.
  private func runBackward(
    _ tasks: ChunkTasks, _ list: [Int]?, _ given: [Tensor?], _ passesOnUniform: Bool,
    _ sums: Table<GradientSums>,
    _ rowGradients: RowGradients
  ) throws {
    try tasks.forEachChunk(in: list, of: recording, needs) { [self] chunk, task, context in
      let isSpecial = chunk == 0 && passesOnUniform
      if !isSpecial, records?[chunk] == nil,
        try tasks.replay(backwardPlans, chunk, context, sums[task])
      {
        return
      }
      let mark = mark
      let made = isSpecial && !isPartOfRecording ? nil : startRecording(backwardPlans, chunk, context)
      defer { endRecording(made, backwardPlans, chunk, context, since: mark) }
      // A stage's only chunk has been recorded, if it is kept.
      let record = try records?[chunk] ?? recordAgain(chunk, context)
      records?[chunk] = nil
      context.reenter(rows(of: chunk), number: chunk, scope: record.scope)
      noteEntry(context)
      for (export, seed) in zip(record.exports, given) where export.tensor.node >= 0 {
        guard let seed else { continue }
        // A uniform output was taken from one chunk, so its gradient goes back through one chunk only, the
        // first.
        if !export.isSum && !export.tensor.isBatched && chunk > 0 { continue }
        var local = context.seed(from: seed, like: record.tape.form(of: export.tensor.node))
        if export.isSum && !export.tensor.isBatched { local = local * Tensor(Float(max(context.rows, 1))) }
        record.tape.add(local, to: export.tensor.node)
      }
      try record.tape.pullBack()
      try context.throwFailure()
      try sums[task].add(record.tape)
      try rowGradients.store(record.tape, context) { try outsideOfChunk(context, $0) }
      publish(made, of: chunk, to: backwardPlans, record.tape)
    }
  }

  /// Adds the sums of all tasks to the parent's gradients, multiplied by a number if there is one.
  private func deliver(
    _ sums: Table<GradientSums>?, from tasks: ChunkTasks, of replay: StageReplay?, scaledBy factor: Tensor?,
    to tape: Tape
  ) throws {
    guard let sums else { return }
    let totals = try GradientSums.totals(of: sums, from: tasks, to: tape)
    replay?.deliver(sums, to: totals)
    let isOne = factor.map { coix_op_is_within($0.pointer, 1, 1, 1).holds() } ?? true
    for (node, total) in totals {
      if let factor, !isOne { tape.add(total * factor.detached, to: node) } else { tape.add(total, to: node) }
    }
  }

  /// Notes the stage's way back in the step's recording.
  private func noteBackward(_ tasks: ChunkTasks, _ rowGradients: RowGradients, _ passesOnUniform: Bool)
    throws -> StageReplay?
  {
    guard let recording, !isPartOfRecording else { return nil }
    try needs.record(in: recording, for: tasks)
    let collected = rowGradients.tensors
    // Where a chunk does not read a tensor, the gradients of its rows are zero, and no plan writes them.
    if passesOnUniform || !backwardPlans.write(collected.map { UnsafeRawPointer($0.pointer) }) {
      recording.refuse()
    }
    for address in backwardPlans.decisions { recording.noteReading(address) }
    for tensor in collected { recording.keep(tensor.storage) }
    let replay = StageReplay(
      backwardPlans, on: tasks, results: collected.map { UnsafeMutableRawPointer($0.pointer) },
      exchanges: rowGradients.exchanges)
    recording.append(replay)
    return replay
  }

  /// A chunk's tape, recorded by running the chunk again.
  private func recordAgain(_ chunk: Int, _ context: ExecutionContext) throws -> Record {
    let tape = parent.map { Tape(parent: $0) } ?? Tape()
    context.enter(rows(of: chunk), number: chunk, tape: tape, mayBeCut: false)
    noteEntry(context)
    let outcome = try outcome(context)
    try context.throwFailure()
    // The gradients that have come back have the form of what the chunk exported before.
    let destinations = merged.withLock { $0?.destinations ?? [] }
    guard destinations.count == outcome.exports.count,
      zip(destinations, outcome.exports).allSatisfy({ $0.fits($1) })
    else { throw Tape.otherSteps }
    return Record(tape: tape, exports: outcome.exports, scope: context.scope)
  }
}
