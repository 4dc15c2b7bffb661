import CoixParallel

/// The program with some sites hidden from everything around it: they run, but are not in its trace.
///
/// A hidden latent site is drawn as ever, and takes no value from outside: a ``propose(_:_:loss:detach:)`` around neither replays nor
/// weighs it. What is left is the density of the other sites given the hidden ones; weights stay proper, as for a site that only one
/// of target and proposal has. A hidden observation enters no weight.
///
/// - Parameters:
///   - program: a kernel, model or target. Of an inference program sites are let go of by ``marginal(_:keeping:)``.
///   - names: of the sites to hide, as they are in `program`. A name that none of its sites has is an error of the evaluation.
public func block<I, O>(_ program: some KernelProgram<I, O>, hiding names: [String]) -> Kernel<I, O> {
  Kernel(node: ProgramNode(emitter: BlockEmitter(program: program.node, names: names)))
}

/// The same for a model.
public func block<I, O>(_ program: some PrimitiveProgram<I, O>, hiding names: [String]) -> Model<I, O> {
  Model(node: ProgramNode(emitter: BlockEmitter(program: program.node, names: names)))
}

/// The same for a target.
public func block<I, O>(_ program: some TargetProgram<I, O>, hiding names: [String]) -> Target<I, O> {
  Target(node: ProgramNode(emitter: BlockEmitter(program: program.node, names: names)))
}

struct BlockEmitter: ProgramEmitter {
  let program: ProgramNode
  let names: [String]
  var programs: [ProgramNode] { [program] }

  func emit(into code: inout StageCode, _ place: Place) throws {
    var inside = place
    for name in names {
      let key = SiteName(name).suffixed(place.handlers.suffixes)
      inside.handlers.hidden.insert(key)
      // A condition around does not see the site.
      inside.handlers.conditions[key] = nil
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
  /// - Parameter isLatent: whether they are latent sites that were given values, rather than sites that were hidden.
  mutating func appendHandledCheck(
    _ names: [String], _ place: Place, isLatent: Bool, reason: @escaping @Sendable (_ sites: String) -> String
  ) {
    append { machine in
      let recorder = try machine.recorder(place.scope)
      let met = isLatent ? recorder.conditioned : recorder.hidden
      for name in names where !met.contains(SiteName(name).suffixed(place.handlers.suffixes)) {
        let others = recorder.sites.filter { !isLatent || !$0.isObserved }.map(\.name)
        throw CoixError.site(name: name, reason: reason(others.listed))
      }
    }
  }
}
