import CoixParallel

/// Runs `inner`, then `outer` on its output.
///
/// The density is the product of both programs' densities. The sites of `inner` become auxiliary (`_PREV_` is
/// appended to their names) unless `suffix` is false. At most one of the programs may be weighted.
public func compose<I, M, O>(
  _ outer: some KernelProgram<M, O>, _ inner: some KernelProgram<I, M>, suffix: Bool = true
) -> Kernel<I, O> {
  Kernel(node: composed(outer, inner, suffix))
}

/// Runs `inner`, then `outer` on its output: of two targets, a target.
public func compose<I, M, O>(
  _ outer: some TargetProgram<M, O>, _ inner: some TargetProgram<I, M>, suffix: Bool = true
) -> Target<I, O> {
  Target(node: composed(outer, inner, suffix))
}

/// Runs `inner`, then `outer` on its output.
public func compose<I, M, O>(
  _ outer: some InferenceProgram<M, O>, _ inner: some InferenceProgram<I, M>, suffix: Bool = true
) -> Inference<I, O> {
  Inference(node: composed(outer, inner, suffix))
}

private func composed(_ outer: some InferenceProgram, _ inner: some InferenceProgram, _ suffix: Bool)
  -> ProgramNode
{
  ProgramNode(emitter: ComposeEmitter(outer: outer.node, inner: inner.node, suffix: suffix))
}

struct ComposeEmitter: ProgramEmitter {
  let outer: ProgramNode
  let inner: ProgramNode
  let suffix: Bool
  var programs: [ProgramNode] { [outer, inner] }

  func emit(into code: inout StageCode, _ place: Place) throws {
    var inside = place
    if suffix { inside.treatment.suffixes += 1 }
    code.run(inner, inside)
    code.then { code in
      var after = place
      after.input = code.output
      code.run(outer, after)
    }
  }

  func outline() -> ProgramOutline {
    ProgramOutline(
      suffix ? "compose" : "compose, suffix: false", [.init(outer, "outer"), .init(inner, "inner")])
  }
}

extension AnyProgram {
  /// Runs `inner`, then `outer`; see <doc:Compose>.
  public static func compose(_ outer: AnyProgram, _ inner: AnyProgram, suffix: Bool = true) -> AnyProgram {
    let highest = max(outer.level, inner.level)
    let level: Level = highest == .kernel ? .kernel : highest <= .target ? .target : .inference
    return AnyProgram(ComposeEmitter(outer: outer.node, inner: inner.node, suffix: suffix), level)
  }
}
