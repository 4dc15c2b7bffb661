import CoixParallel

/// Differentiable annealed importance sampling: Hamiltonian steps without a correction lead from target to
/// target; the objective is the evidence that the last weights estimate.
///
/// 1. Geffner and Domke, "MCMC variational inference via uncorrected Hamiltonian annealing", 2021.
/// 2. Zhang, Hsu, Li, Finn and Grosse, "Differentiable annealed importance sampling and the perils of
///    gradient noise", 2021.
///
/// For weights that estimate the evidence, the `Delta` sites of the leapfrog need the log-density of what
/// they take the place of: the log-probability of the sampled position and that of the momentum before the
/// step. What the target before has observed is divided out anyway.
///
/// - Parameters:
///   - targets: K distributions over positions, the first of which can be sampled. With one there is no step,
///     and no loss.
///   - momentum: draws a momentum, and returns the state: position and momentum.
///   - leapfrog: moves the state, by `Delta` sites.
///   - refreshment: partly draws the momentum anew; its own reverse.
/// - Throws: `CoixError.argument(_:)` without a target.
public func dais<I, X, State>(
  targets: [some TargetProgram<I, X>], momentum: some KernelProgram<X, State>,
  leapfrog: some KernelProgram<State, State>, refreshment: some KernelProgram<State, State>
) throws -> Inference<I, State> {
  try requireSteps("dais", targets: targets.count)
  let joints = targets.map { compose(momentum, $0, suffix: false) }
  var q = Inference(joints[0])
  for (step, joint) in joints.enumerated().dropFirst() {
    q = propose(
      extend(joint, refreshment), compose(refreshment, compose(leapfrog, q)),
      loss: step == joints.count - 1 ? .iwae : nil)
  }
  return q
}

/// The same as a loop: `target` is called for the steps 0..<count.
///
/// - Throws: `CoixError.argument(_:)` for a count below one, and what `target` throws for the first and the
///   last step. What it throws for the steps between comes out of the evaluation.
public func dais<I, X, State>(
  count: Int, target: @escaping @Sendable (_ step: Int) throws -> some TargetProgram<I, X>,
  momentum: some KernelProgram<X, State>, leapfrog: some KernelProgram<State, State>,
  refreshment: some KernelProgram<State, State>
) throws -> Inference<I, State> {
  try requireSteps("dais", targets: count)
  let (first, last) = (compose(momentum, try target(0), suffix: false), count - 1)
  guard last > 0 else { return Inference(first) }
  let q = foriLoop(1..<last, initial: first) { step, q in
    let joint = compose(momentum, try target(step), suffix: false)
    return propose(extend(joint, refreshment), compose(refreshment, compose(leapfrog, q)))
  }
  let joint = compose(momentum, try target(last), suffix: false)
  return propose(
    extend(joint, refreshment), compose(refreshment, compose(leapfrog, q)), loss: .iwae)
}
