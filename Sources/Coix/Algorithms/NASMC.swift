import CoixParallel

/// Neural adaptive sequential Monte Carlo: particles go from target to target by proposals that learn by
/// reweighted wake-sleep, and are resampled on the way.
///
/// Gu, Ghahramani and Turner, "Neural adaptive sequential Monte Carlo", 2015.
///
/// - Parameters:
///   - targets: K filtering distributions.
///   - initial: the proposal for the first of them.
///   - proposals: K - 1 kernels; each takes what a target returns, and proposes for the next one.
/// - Throws: `CoixError.argument(_:)` without a target, or for another number of proposals.
public func nasmc<I, O>(
  targets: [some TargetProgram<I, O>], initial: some InferenceProgram<I, some TensorTree>,
  proposals: [some KernelProgram<O, some TensorTree>]
) throws -> Inference<I, O> {
  try requireSteps("nasmc", targets: targets.count, ["proposals": proposals.count])
  var q = propose(targets[0], detach(initial), loss: .rws)
  for (target, proposal) in zip(targets.dropFirst(), proposals) {
    q = propose(target, compose(detach(proposal), resample(q)), loss: .rws)
  }
  return q
}

/// The same as a loop: `target` is called for the steps 0..<count, `proposal` for 1..<count.
///
/// - Throws: `CoixError.argument(_:)` for a count below one, and what `target` throws for the first step.
///   What the closures throw for later steps comes out of the evaluation.
public func nasmc<I, O>(
  count: Int, target: @escaping @Sendable (_ step: Int) throws -> some TargetProgram<I, O>,
  initial: some InferenceProgram<I, some TensorTree>,
  proposal: @escaping @Sendable (_ step: Int) throws -> some KernelProgram<O, some TensorTree>
) throws -> Inference<I, O> {
  try requireSteps("nasmc", targets: count)
  let first = propose(try target(0), detach(initial), loss: .rws)
  return foriLoop(1..<count, initial: first) { step, q in
    propose(try target(step), compose(detach(try proposal(step)), resample(q)), loss: .rws)
  }
}
