import CoixParallel

/// A program inside of a plate.
struct PlateEmitter: ProgramEmitter {
  let plate: Plate
  let program: ProgramNode
  var programs: [ProgramNode] { [program] }

  func emit(into code: inout StageCode, _ place: Place) throws {
    var inside = place
    inside.treatment.plates.append(code.cut(plate))
    code.run(program, inside)
  }

  func outline() -> ProgramOutline {
    ProgramOutline("plate \(plate.description)", [.init(program)])
  }
}

extension Plate {
  /// The kernel, model or target, for each row of the plate.
  public func callAsFunction<Program: TargetProgram>(_ program: Program) -> Program.SameLevel {
    program.replacing(node: node(program))
  }

  /// Not for inference programs.
  @available(
    *, unavailable,
    message: "a plate goes around kernels, models and targets: put those of the inference program into it"
  )
  public func callAsFunction<Program: InferenceProgram>(_ program: Program) -> Program.SameLevel {
    program.replacing(node: node(program))
  }

  /// The program for each row of the plate.
  ///
  /// - Throws: `CoixError.illFormedProgram(_:)` for an inference program, whose plates are around its parts.
  public func callAsFunction(_ program: AnyProgram) throws -> AnyProgram {
    try program.require(
      program.level <= .target,
      "a plate goes around kernels, models and targets, not around an inference program")
    return program.replacing(node: node(program))
  }

  private func node(_ program: some InferenceProgram) -> ProgramNode {
    ProgramNode(emitter: PlateEmitter(plate: self, program: program.node))
  }
}
