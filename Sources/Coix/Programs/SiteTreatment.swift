import CoixParallel

/// What combinators around a program do to its sites.
struct SiteTreatment: Sendable {
  /// The plates around the program, outermost first.
  var plates: [Plate] = []
  /// How many `_PREV_` its sites get.
  var suffixes = 0
  /// Whether draws lose their gradient.
  var isDetached = false
  /// Whether log-probabilities take no gradient to the distribution's parameters.
  var sticksTheLanding = false
}

/// A program with another treatment of its sites.
struct SiteTreatmentEmitter: ProgramEmitter {
  let program: ProgramNode
  /// What the combinator is called.
  let name: String
  let change: @Sendable (inout SiteTreatment) -> Void
  var programs: [ProgramNode] { [program] }

  func emit(into code: inout StageCode, _ place: Place) throws {
    var inside = place
    change(&inside.treatment)
    code.run(program, inside)
  }

  func outline() -> ProgramOutline { ProgramOutline(name, [.init(program)]) }
}

extension InferenceProgram {
  /// The program with another treatment of its sites, by the name of the combinator that says which.
  func treatingSites(_ name: String, _ change: @escaping @Sendable (inout SiteTreatment) -> Void) -> SameLevel
  {
    replacing(node: ProgramNode(emitter: SiteTreatmentEmitter(program: node, name: name, change: change)))
  }
}
