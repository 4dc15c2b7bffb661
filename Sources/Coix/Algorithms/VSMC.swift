import CoixParallel

/// Variational sequential Monte Carlo: particles go from target to target by proposals and are resampled on
/// the way; the objective is the evidence that the last weights estimate.
///
/// Gradients flow through samples, but not through the choice of ancestors. What they leave out is a bias,
/// for all proposals but the last. It does not fall with the number of particles, as the bound's own gradient
/// does: proposals that are trained with few particles may be the better ones, also for a run with many. The
/// loss has the bound's gradient in this sense, not its value; that is estimated by ``Metrics/logZ``, summed
/// over instances.
///
/// With a single target this is ``sviIWAE(_:_:)``: the bound is the same formula. (The reference's list form
/// has no loss there.)
///
/// 1. Maddison, Lawson, Tucker, Heess, Norouzi, Mnih, Doucet and Teh, "Filtering variational objectives",
///    2017.
/// 2. Le, Igl, Rainforth, Jin and Wood, "Auto-encoding sequential Monte Carlo", 2018.
/// 3. Naesseth, Linderman, Ranganath and Blei, "Variational sequential Monte Carlo", 2018.
/// 4. Lawson, Tucker, Naesseth, Maddison, Adams and Teh, "Twisted variational sequential Monte Carlo", 2018:
///    smoothing targets.
///
/// - Parameters:
///   - targets: K filtering or smoothing distributions.
///   - initial: the proposal for the first of them.
///   - proposals: K - 1 kernels; each takes what a target returns, and proposes for the next one.
/// - Throws: `CoixError.argument(_:)` without a target, or for another number of proposals.
public func vsmc<I, O>(
  targets: [some TargetProgram<I, O>], initial: some InferenceProgram<I, some TensorTree>,
  proposals: [some KernelProgram<O, some TensorTree>]
) throws -> Inference<I, O> {
  try requireSteps("vsmc", targets: targets.count, ["proposals": proposals.count])
  var q = propose(targets[0], initial, loss: proposals.isEmpty ? .iwae : nil)
  for (step, (target, proposal)) in zip(targets.dropFirst(), proposals).enumerated() {
    q = propose(
      target, compose(proposal, resample(q)), loss: step == proposals.count - 1 ? .iwae : nil)
  }
  return q
}

/// The same as a loop: `target` is called for the steps 0..<count, `proposal` for 1..<count.
///
/// - Throws: `CoixError.argument(_:)` for a count below one, and what the closures throw for the first and
///   the last step. What they throw for the steps between comes out of the evaluation.
public func vsmc<I, O>(
  count: Int, target: @escaping @Sendable (_ step: Int) throws -> some TargetProgram<I, O>,
  initial: some InferenceProgram<I, some TensorTree>,
  proposal: @escaping @Sendable (_ step: Int) throws -> some KernelProgram<O, some TensorTree>
) throws -> Inference<I, O> {
  try requireSteps("vsmc", targets: count)
  let (first, last) = (try target(0), count - 1)
  guard last > 0 else { return propose(first, initial, loss: .iwae) }
  let q = foriLoop(1..<last, initial: propose(first, initial)) { step, q in
    propose(try target(step), compose(try proposal(step), resample(q)))
  }
  return propose(try target(last), compose(try proposal(last), resample(q)), loss: .iwae)
}
