import CoixParallel

/// Runs `initial`, then for each round a program that `body` makes of the round's number and the program so
/// far.
///
/// What `body` gets is an empirical program, which replays output, trace and metrics of the round before. It
/// may stand wherever a proposal may, inside of ``resample(_:count:scheme:when:)`` for example, but only in
/// one place. Every program that `body` makes takes the loop's input. The loop draws one key and folds the
/// round's number into it for each round, so that a loop and the same combinators written out have different
/// random numbers.
///
/// Metrics that the initial program does not compute are completed, as in the reference: the log-weight is
/// that of its observations, ESS and log Z are those of the log-weight, the log-density is that of all of its
/// sites, and the loss is 0.
///
/// ```swift
/// let inference = foriLoop(0..<10, initial: particles(target(0))) { round, q in
///   propose(extend(particles(target(round + 1)), particles(reverse)), compose(particles(forward), resample(q)))
/// }
/// ```
public func foriLoop<I, O>(
  _ rounds: Range<Int>, initial: some InferenceProgram<I, O>,
  body: @escaping @Sendable (_ round: Int, _ program: Inference<I, O>) throws -> Inference<I, O>
) -> Inference<I, O> {
  Inference(
    node: ProgramNode(
      emitter: LoopEmitter(rounds: rounds, initial: initial.node) { round, node in
        try body(round, Inference(node: node)).node
      }))
}

struct LoopEmitter: ProgramEmitter {
  let rounds: Range<Int>
  let initial: ProgramNode
  let body: @Sendable (Int, ProgramNode) throws -> ProgramNode
  var programs: [ProgramNode] { [initial] }

  func emit(into code: inout StageCode, _ place: Place) throws {
    let treatment = place.treatment.within
    let scope = code.makeScope()
    let loop = code.makeScope()
    let reader = code.readers.make()
    code.appendBookkeeping { machine in
      let (bodyKey, initialKey) = try machine.recorder(place.scope).stream.next().split()
      machine.keys[loop] = bodyKey
      machine.open(scope, key: initialKey)
    }
    code.run(
      initial, Place(input: code.copy(place.input), scope: scope, reader: reader, treatment: treatment))
    code.then { code in
      code.append { try $0.completeMetrics(scope) }
      try emitRound(
        rounds.lowerBound, into: &code, place, treatment, loop: loop,
        before: Run(scope: scope, reader: reader))
    }
  }

  func outline() throws -> ProgramOutline {
    var outline = ProgramOutline(
      "foriLoop \(rounds.lowerBound)..<\(rounds.upperBound)", [.init(initial, "initial")])
    if !rounds.isEmpty {
      let round = try body(rounds.lowerBound, ProgramNode(emitter: EarlierRoundEmitter()))
      outline.parts.append(.init(round, "round \(rounds.lowerBound)"))
    }
    return outline
  }

  /// One round, which schedules the next.
  private func emitRound(
    _ round: Int, into code: inout StageCode, _ place: Place, _ treatment: SiteTreatment, loop: Scope,
    before: Run
  ) throws {
    let output = code.output
    guard round < rounds.upperBound else {
      code.readers.identify(before.reader, as: place.reader)
      code.appendBookkeeping { machine in
        let program = try machine.finished(before.scope)
        machine.keys[loop] = nil
        try machine.replay(program, into: place.scope, place.treatment)
        try machine.checkFailure()
      }
      code.discard(place.input)
      code.free(before.scope)
      code.free(loop)
      code.output = output
      return
    }
    let run = Run(scope: code.makeScope(), reader: code.readers.make())
    let scope = run.scope
    code.appendBookkeeping { machine in
      guard let key = machine.keys[loop] else {
        throw CoixError.illFormedProgram("foriLoop: a round without a key")
      }
      machine.open(scope, key: key.folded(in: round))
    }
    let finished = FinishedEmitter(run: before, output: output)
    code.offer(finished.offer)
    let program = try body(round, ProgramNode(emitter: finished))
    code.run(
      program, Place(input: code.copy(place.input), scope: scope, reader: run.reader, treatment: treatment))
    code.then { code in
      _ = code.accept(finished.offer)
      code.append { machine in
        guard try machine.recorder(scope).metrics?.logWeight != nil else { return }
        // What is observed around the weighted program is in the weight, too.
        try machine.completeWeight(of: scope)
      }
      let result = code.output
      code.discard(output)
      code.appendBookkeeping { $0.close(before.scope) }
      code.free(before.scope)
      code.output = result
      try emitRound(round + 1, into: &code, place, treatment, loop: loop, before: run)
    }
  }

  /// A run of the initial program or of a round's.
  fileprivate struct Run {
    let scope: Scope
    let reader: TraceReader
  }
}

/// The empirical program of a round that the same evaluation has finished; it can stand in one place only.
private struct FinishedEmitter: ProgramEmitter {
  let run: LoopEmitter.Run
  let output: Register
  /// Tells this run from those of other rounds and other evaluations. A body that keeps the program might put
  /// it there.
  let offer = Offer()
  var programs: [ProgramNode] { [] }

  func emit(into code: inout StageCode, _ place: Place) throws {
    guard code.accept(offer) else {
      throw CoixError.illFormedProgram(
        "foriLoop: the program so far may stand in one place of its round's program, and nowhere else")
    }
    code.readers.identify(run.reader, as: place.reader)
    code.appendBookkeeping { machine in
      try machine.dropUnread(run.scope, run.reader)
      try machine.replay(machine.finished(run.scope), into: place.scope, place.treatment)
      try machine.checkFailure()
    }
    code.discard(place.input)
    code.output = code.copy(output)
  }

  func outline() -> ProgramOutline { .earlierRound }
}

/// What stands for the program so far where a round is only looked at, for a diagram.
private struct EarlierRoundEmitter: ProgramEmitter {
  var programs: [ProgramNode] { [] }

  func emit(into code: inout StageCode, _ place: Place) throws {
    throw CoixError.illFormedProgram("foriLoop: a round's program is evaluated outside of its loop")
  }

  func outline() -> ProgramOutline { .earlierRound }
}

extension ProgramOutline {
  fileprivate static let earlierRound = ProgramOutline("the program so far")
}

extension Machine {
  /// The program that has run in a scope, with its sites in the order of their names.
  ///
  /// It is handed on and not copied, so that later barriers complete its metrics only once.
  fileprivate func finished(_ scope: Scope) throws -> Recorder {
    let recorder = try recorder(scope)
    recorder.recorded.finish(sorting: true)
    close(scope)
    return recorder
  }

  /// Computes the metrics that an initial program without a proposal lacks.
  fileprivate func completeMetrics(_ scope: Scope) throws {
    let recorder = try recorder(scope)
    let sites = try finishedTrace(scope).sites
    var metrics = recorder.metrics ?? RunningMetrics()
    completeWeight(&metrics, sites)
    if hasParticles, metrics.ess == nil, let weight = metrics.logWeight { metrics.summarize(weight) }
    metrics.logDensity = metrics.logDensity ?? .pending(sum(sites) ?? Tensor(0))
    if !metrics.hasLoss { metrics.loss = Tensor(0) }
    recorder.metrics = metrics
  }
}

extension AnyProgram {
  /// Runs a program that `body` makes, again and again; see ``foriLoop(_:initial:body:)``.
  public static func foriLoop(
    _ rounds: Range<Int>, initial: AnyProgram,
    body: @escaping @Sendable (_ round: Int, _ program: AnyProgram) throws -> AnyProgram
  ) -> AnyProgram {
    AnyProgram(
      LoopEmitter(rounds: rounds, initial: initial.node) { round, node in
        try body(round, AnyProgram(node, .inference)).node
      }, .inference)
  }
}
