import CoixParallel

/// A program with another treatment of its sites.
struct HandlerEmitter: ProgramEmitter {
  let program: ProgramNode
  /// What the combinator is called.
  let name: String
  let change: @Sendable (inout Handlers) -> Void
  var programs: [ProgramNode] { [program] }

  func emit(into code: inout StageCode, _ place: Place) throws {
    var inside = place
    change(&inside.handlers)
    code.run(program, inside)
  }

  func outline() -> ProgramOutline { ProgramOutline(name, [.init(program)]) }
}

extension ProgramNode {
  /// A program with its handlers changed.
  static func handling(
    _ name: String, _ program: some InferenceProgram, _ change: @escaping @Sendable (inout Handlers) -> Void
  ) -> ProgramNode {
    ProgramNode(emitter: HandlerEmitter(program: program.node, name: name, change: change))
  }
}
