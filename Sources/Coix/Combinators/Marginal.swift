import CoixParallel

/// The program with the sites of the given names alone: what no later step reads goes no further.
///
/// Output, weights and metrics stay as they are, and so do the random numbers of what comes after. The other
/// sites are let go of: later steps do not keep them, and the result does not hold them. What they have
/// observed is in the weight, so that the result is a weighted program. A filter that keeps its state alone
/// takes as much memory for a thousand steps as for ten:
///
/// ```swift
/// let filter = foriLoop(1..<100, initial: particles(first)) { t, q in
///   compose(particles(step(t)), resample(marginal(q, keeping: ["h"])))
/// }
/// ```
///
/// A ``propose(_:_:loss:detach:)`` around it finds the sites that are kept. A latent site that is let go of
/// becomes one that only the proposal has: weights stay proper.
///
/// - Parameters:
///   - program: any program.
///   - names: of the sites to keep, as an evaluation of `program` has them. A name that none of its sites has
///     is an error of the evaluation.
public func marginal<I, O>(_ program: some InferenceProgram<I, O>, keeping names: [String]) -> Inference<I, O>
{
  Inference(node: ProgramNode(emitter: MarginalEmitter(program: program.node, names: names)))
}

struct MarginalEmitter: ProgramEmitter {
  let program: ProgramNode
  let names: [String]
  var programs: [ProgramNode] { [program] }

  func emit(into code: inout StageCode, _ place: Place) throws {
    let inner = code.makeScope()
    code.appendBookkeeping { try $0.open(inner, continuing: place.scope) }
    var inside = place
    inside.scope = inner
    inside.reader = .combinator
    code.run(program, inside)
    code.then { code in
      code.append { machine in
        // The names that an evaluation of the program has, side by side with those that its sites have here.
        let trace = try machine.finishedTrace(inner)
        let inner = try machine.resume(place.scope, after: inner)
        try machine.keep(names, of: inner, named: trace.sites.map(\.key), in: place)
        try machine.checkFailure()
      }
      code.free(inner)
    }
  }

  func outline() -> ProgramOutline {
    ProgramOutline("marginal, keeping: \(names.joined(separator: ", "))", [.init(program)])
  }
}

extension Machine {
  /// Adds those of a program's sites that have the given names to a scope, and its metrics.
  fileprivate func keep(_ names: [String], of program: Recorder, named own: [SiteName], in place: Place)
    throws
  {
    let kept = Set(names.map(SiteName.init))
    let found = Set(own)
    if let unknown = names.first(where: { !found.contains(SiteName($0)) }) {
      throw CoixError.site(
        name: unknown,
        reason: "marginal keeps it, but the program has no such site; there are \(own.map(\.text).listed)")
    }
    let recorder = try recorder(place.scope)
    var metrics = program.metrics ?? RunningMetrics()
    if program.sites.contains(where: { $0.isObserved && !$0.isWeighed }) {
      completeWeight(&metrics, program.sites)
    }
    var observed: [Site] = []
    for (var site, name) in zip(program.sites, own) {
      guard kept.contains(name) else {
        if site.isObserved { observed.append(site) } else { metrics.forgottenDraws += 1 }
        continue
      }
      site.isWeighed = metrics.logWeight != nil
      recorder.append(site)
    }
    if reads(place.reader), let logDensity = sum(observed) {
      metrics.forgottenDensity = metrics.forgottenDensity.map { local($0) + logDensity } ?? logDensity
    }
    try recorder.merge(metrics)
  }
}

extension AnyProgram {
  /// The program with the sites of the given names alone; see ``marginal(_:keeping:)``.
  public static func marginal(_ program: AnyProgram, keeping names: [String]) -> AnyProgram {
    AnyProgram(MarginalEmitter(program: program.node, names: names), .inference)
  }
}
