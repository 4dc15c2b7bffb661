import CoixParallel

/// The program with some sites hidden from everything around it: they run, but are not in its trace.
///
/// A hidden latent site is drawn as ever, and takes no value from outside: a ``propose(_:_:loss:detach:)``
/// around neither replays nor weighs it. What is left is the density of the other sites given the hidden
/// ones; weights stay proper, as for a site that only one of target and proposal has. A hidden observation
/// enters no weight.
///
/// - Parameters:
///   - program: a kernel, model or target. Of an inference program sites are let go of by
///     ``marginal(_:keeping:)``.
///   - names: of the sites to hide, as they are in `program`. A name that none of its sites has is an error
///     of the evaluation.
public func block<Program: TargetProgram>(_ program: Program, hiding names: [String]) -> Program.SameLevel {
  program.replacing(node: ProgramNode(emitter: BlockEmitter(program: program.node, names: names)))
}

struct BlockEmitter: ProgramEmitter {
  let program: ProgramNode
  let names: [String]
  var programs: [ProgramNode] { [program] }

  func emit(into code: inout StageCode, _ place: Place) throws {
    var inside = place
    for name in names {
      let key = place.treatment.name(SiteName(name))
      inside.treatment.hidden.insert(key)
      // A condition around does not see the site.
      inside.treatment.conditions[key] = nil
    }
    code.run(program, inside)
    code.then { code in
      code.appendHandledCheck(names, place, isLatent: false) {
        "block hides it, but the program has no such site; there are \($0)"
      }
    }
  }

  func outline() -> ProgramOutline {
    ProgramOutline("block, hiding: \(names.joined(separator: ", "))", [.init(program)])
  }
}

extension StageCode {
  /// Sees to it that a program that has run has met the sites that are named for it.
  ///
  /// - Parameter isLatent: whether they are latent sites that were given values, rather than sites that were
  ///   hidden.
  mutating func appendHandledCheck(
    _ names: [String], _ place: Place, isLatent: Bool, reason: @escaping @Sendable (_ sites: String) -> String
  ) {
    append { machine in
      let recorder = try machine.recorder(place.scope)
      let met = isLatent ? recorder.conditioned : recorder.hidden
      for name in names where !met.contains(place.treatment.name(SiteName(name))) {
        let others = recorder.sites.filter { !isLatent || !$0.isObserved }.map(\.name)
        throw CoixError.site(name: name, reason: reason(others.listed))
      }
    }
  }
}

extension AnyProgram {
  /// The program with some sites hidden; see ``block(_:hiding:)``.
  ///
  /// - Throws: `CoixError.illFormedProgram(_:)` for an inference program.
  public static func block(_ program: AnyProgram, hiding names: [String]) throws -> AnyProgram {
    try program.require(
      program.level <= .target, "block needs a target; of an inference program marginal lets go of sites")
    return program.replacing(node: ProgramNode(emitter: BlockEmitter(program: program.node, names: names)))
  }
}
