import CoixParallel

/// A program with a name of its own, which changes nothing but diagrams.
private struct NamedEmitter: ProgramEmitter {
  let name: String
  let program: ProgramNode

  var programs: [ProgramNode] { [program] }

  func emit(into code: inout StageCode, _ place: Place) throws { code.run(program, place) }

  func outline() throws -> ProgramOutline {
    guard var outline = try program.emitter?.outline() else { return ProgramOutline(name) }
    outline.title = "\(name) (\(outline.title))"
    return outline
  }
}

extension InferenceProgram {
  /// The same program, by a name that ``diagram(of:as:)`` shows. A new name takes the place of an old one.
  public func named(_ name: String) -> SameLevel {
    let program = (node.emitter as? NamedEmitter)?.program ?? node
    return replacing(node: ProgramNode(emitter: NamedEmitter(name: name, program: program)))
  }
}
