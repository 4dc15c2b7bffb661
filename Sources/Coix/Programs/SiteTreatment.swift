import CoixParallel

/// What plates and combinators around a program do to its sites.
struct SiteTreatment: Sendable {
  /// The plates around the program, outermost first.
  var plates: [Plate] = []
  /// How many times `_PREV_` is appended to the sites' names.
  var suffixes = 0
  /// Whether the gradient stops at the values that the program draws.
  var isDetached = false
  /// Whether the gradient stops at what the program's own statements draw, and those of programs within it that have no
  /// objective. Values that are handed on are left as they are.
  var fixesDraws = false
  /// Whether log-probabilities of latent sites take no gradient to the distribution's parameters.
  var sticksTheLanding = false
  /// Values that make latent sites observed ones, by the names that the sites have in the evaluation.
  var conditions: [SiteName: Tensor] = [:]
  /// The sites that are left out of the trace, by the names that they have in the evaluation.
  var hidden: Set<SiteName> = []

  /// The name that a site has in the evaluation.
  func name(_ name: SiteName) -> SiteName { name.suffixed(suffixes) }

  /// How a program within is treated, whose sites are handed on under another treatment.
  var within: SiteTreatment { SiteTreatment(plates: plates, fixesDraws: fixesDraws) }

  /// A latent site's value that the program itself draws.
  func drawn(_ value: Tensor) -> Tensor { isDetached || fixesDraws ? value.detached : value }

  /// A latent site's value that is handed on: the program drew it when it ran.
  func handedOn(_ value: Tensor) -> Tensor { isDetached ? value.detached : value }

  /// A latent site's distribution, as its log-probability is computed from it.
  func scoring<D: Distribution>(_ distribution: D) -> D {
    sticksTheLanding ? distribution.mapParameters(\.detached) : distribution
  }

  /// A latent site's log-probability that has been computed already.
  func scored(_ logProb: Tensor) -> Tensor { sticksTheLanding ? logProb.detached : logProb }
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
