import CoixParallel

/// Annealed importance sampling with the annealed variational objective: each pair of a forward and a reverse
/// kernel learns from its own step's incremental weight. There is no resampling.
///
/// Huang, Tan, Lacoste and Courville, "Improving explorability in variational inference with annealed
/// variational objectives", 2018.
///
/// - Parameters:
///   - targets: K distributions, the first of which can be sampled.
///   - forwards: K - 1 kernels, from each target to the next.
///   - reverses: K - 1 kernels, from each target but the first to the one before.
/// - Throws: `CoixError.argument(_:)` without a target, or for another number of kernels.
public func nviAVO<I, O>(
  targets: [some TargetProgram<I, O>], forwards: [some KernelProgram<O, some TensorTree>],
  reverses: [some KernelProgram<O, some TensorTree>]
) throws -> Inference<I, O> {
  try requireSteps(
    "nviAVO", targets: targets.count, ["forwards": forwards.count, "reverses": reverses.count])
  var q = Inference(targets[0])
  for (target, (forward, reverse)) in zip(targets.dropFirst(), zip(forwards, reverses)) {
    q = propose(extend(target, reverse), compose(forward, q), loss: .avo, detach: true)
  }
  return q
}

/// The same as a loop: `target` is called for the steps 0..<count; `forward` and `reverse` for 0..<count - 1,
/// the kernels between a target and the next.
///
/// - Throws: `CoixError.argument(_:)` for a count below one, and what `target` throws for the first step.
///   What the closures throw for later steps comes out of the evaluation.
public func nviAVO<I, O>(
  count: Int, target: @escaping @Sendable (_ step: Int) throws -> some TargetProgram<I, O>,
  forward: @escaping @Sendable (_ step: Int) throws -> some KernelProgram<O, some TensorTree>,
  reverse: @escaping @Sendable (_ step: Int) throws -> some KernelProgram<O, some TensorTree>
) throws -> Inference<I, O> {
  try requireSteps("nviAVO", targets: count)
  return foriLoop(0..<count - 1, initial: try target(0)) { step, q in
    propose(
      extend(try target(step + 1), try reverse(step)), compose(try forward(step), q), loss: .avo,
      detach: true)
  }
}
