import CoixParallel

/// The target with auxiliary variables: runs `target`, then `kernel` on its output, and returns the target's
/// output.
///
/// The density is the product of both programs' densities. A kernel's density is normalised, so that the
/// target's own variables keep their marginal density. `_PREV_` is appended to the names of the kernel's
/// sites. A proposal that goes from old values to new ones needs such a target: the kernel (a reverse kernel)
/// says where the old values may have come from.
public func extend<I, O>(
  _ target: some TargetProgram<I, O>, _ kernel: some KernelProgram<O, some TensorTree>
) -> Target<I, O> {
  Target(node: ProgramNode(emitter: ExtendEmitter(target: target.node, kernel: kernel.node)))
}

struct ExtendEmitter: ProgramEmitter {
  let target: ProgramNode
  let kernel: ProgramNode
  var programs: [ProgramNode] { [target, kernel] }

  func emit(into code: inout StageCode, _ place: Place) throws {
    code.run(target, place)
    code.then { code in
      let output = code.output
      var auxiliary = place
      auxiliary.input = code.copy(output)
      auxiliary.treatment.suffixes += 1
      code.run(kernel, auxiliary)
      code.then { code in
        code.discard(code.output)
        code.output = output
      }
    }
  }

  func outline() -> ProgramOutline {
    ProgramOutline("extend", [.init(target, "target"), .init(kernel, "kernel")])
  }
}

extension AnyProgram {
  /// Runs `target`, then `kernel` on its output; see ``extend(_:_:)``.
  ///
  /// - Throws: `CoixError.illFormedProgram(_:)` unless they are a target and a kernel.
  public static func extend(_ target: AnyProgram, _ kernel: AnyProgram) throws -> AnyProgram {
    try target.require(target.level <= .target, "extend needs a target; an inference program has no density")
    try kernel.require(
      kernel.level == .kernel, "extend needs a kernel, which only samples, for auxiliary variables")
    return AnyProgram(ExtendEmitter(target: target.node, kernel: kernel.node), .target)
  }
}
