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

extension ProgramNode {
  fileprivate func named(_ name: String) -> ProgramNode {
    // A new name takes the place of an old one.
    let program = (emitter as? NamedEmitter)?.program ?? self
    return ProgramNode(emitter: NamedEmitter(name: name, program: program))
  }
}

extension Kernel {
  /// The same kernel, by a name that ``diagram(of:as:)`` shows.
  public func named(_ name: String) -> Kernel { Kernel(node: node.named(name)) }
}

extension Model {
  /// The same model, by a name that ``diagram(of:as:)`` shows.
  public func named(_ name: String) -> Model { Model(node: node.named(name)) }
}

extension Target {
  /// The same target, by a name that ``diagram(of:as:)`` shows.
  public func named(_ name: String) -> Target { Target(node: node.named(name)) }
}

extension Inference {
  /// The same program, by a name that ``diagram(of:as:)`` shows.
  public func named(_ name: String) -> Inference { Inference(node: node.named(name)) }
}

extension AnyProgram {
  /// The same program, by a name that ``diagram(of:as:)`` shows.
  public func named(_ name: String) -> AnyProgram { AnyProgram(node.named(name), level) }
}
