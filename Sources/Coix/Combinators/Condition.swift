import CoixParallel

/// The program with values for some of its latent sites, which thereby become observed: their
/// log-probabilities enter the weight.
///
/// One model serves for simulation and for inference: as a kernel it draws its data, and conditioned on data
/// it is the model of them.
///
/// ```swift
/// let posterior = condition(joint, ["x": 1.25])
/// ```
///
/// - Parameters:
///   - program: a kernel, model or target.
///   - values: by the names that the sites have in `program`; of the site's shape, and the same for all
///     particles or mapped over a plate. A name that none of the program's latent sites has is an error of
///     the evaluation.
/// - Returns: a model, or of a target a target.
public func condition<I, O>(_ program: some PrimitiveProgram<I, O>, _ values: [String: Tensor]) -> Model<I, O>
{
  Model(node: ProgramNode(emitter: ConditionEmitter(program: program.node, values: values)))
}

/// The same for a target.
public func condition<I, O>(_ program: some TargetProgram<I, O>, _ values: [String: Tensor]) -> Target<I, O> {
  Target(node: ProgramNode(emitter: ConditionEmitter(program: program.node, values: values)))
}

struct ConditionEmitter: ProgramEmitter {
  let program: ProgramNode
  let values: [String: Tensor]
  var programs: [ProgramNode] { [program] }

  func emit(into code: inout StageCode, _ place: Place) throws {
    var inside = place
    let sorted = values.sorted { $0.key < $1.key }
    for (name, value) in sorted {
      let value = try value.validated()
      if value.isTrackedByRow { code.noteRowGradients() }
      let key = place.treatment.name(SiteName(name))
      guard inside.treatment.conditions.updateValue(value, forKey: key) == nil else {
        throw CoixError.site(name: name, reason: "two conditions give it a value")
      }
    }
    code.run(program, inside)
    code.then { code in
      code.appendHandledCheck(sorted.map(\.key), place, isLatent: true) {
        "condition gives it a value, but the program has no such latent site; there are \($0)"
      }
    }
  }

  func outline() -> ProgramOutline {
    ProgramOutline("condition on \(values.keys.sorted().joined(separator: ", "))", [.init(program)])
  }
}

extension AnyProgram {
  /// The program with values for some of its latent sites; see <doc:Condition>.
  ///
  /// - Throws: `CoixError.illFormedProgram(_:)` for an inference program.
  public static func condition(_ program: AnyProgram, _ values: [String: Tensor]) throws -> AnyProgram {
    try program.requireDensity(for: "condition")
    return AnyProgram(
      ConditionEmitter(program: program.node, values: values), max(program.level, .primitive))
  }
}
