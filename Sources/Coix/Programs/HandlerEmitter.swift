import CoixParallel

/// A program with another treatment of its sites.
struct HandlerEmitter: ProgramEmitter {
  let program: ProgramNode
  let change: @Sendable (inout Handlers) -> Void
  var programs: [ProgramNode] { [program] }

  func emit(into code: inout StageCode, _ place: Place) throws {
    var inside = place
    change(&inside.handlers)
    code.run(program, inside)
  }
}

extension ProgramNode {
  /// A program with its handlers changed.
  static func handling(
    _ program: some InferenceProgram, _ change: @escaping @Sendable (inout Handlers) -> Void
  ) -> ProgramNode {
    ProgramNode(emitter: HandlerEmitter(program: program.node, change: change))
  }
}
