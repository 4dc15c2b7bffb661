import CoixParallel

/// Amortized population Gibbs sampling: after a first sweep from the input, kernels propose one block of
/// variables after another, each weighted for the block's conditional distribution, with resampling before
/// every block.
///
/// The sweeps are a loop, also if there are none.
///
/// Wu, Zimmermann, Sennesh, Le and van de Meent, "Amortized population Gibbs samplers with neural sufficient
/// statistics", 2020.
///
/// - Parameters:
///   - target: the joint distribution; what it returns is the state that kernels take.
///   - initial: the first sweep, which proposes every block: as a rule the kernels composed, with the input
///     in place of a state.
///   - kernels: for each block a kernel, the block's forward and reverse proposal at once.
///   - sweeps: how many times to go through the kernels after the first sweep.
/// - Throws: `CoixError.argument(_:)` without a kernel or for a negative number of sweeps.
public func apgs<I, O>(
  _ target: some TargetProgram<I, O>, initial: some InferenceProgram<I, some TensorTree>,
  kernels: [some KernelProgram<O, some TensorTree>], sweeps: Int = 1
) throws -> Inference<I, O> {
  guard !kernels.isEmpty else { throw CoixError.argument("apgs: needs at least one kernel") }
  guard sweeps >= 0 else {
    throw CoixError.argument("apgs: the number of sweeps must not be negative, is \(sweeps)")
  }
  let kernels = kernels.map { detach($0) }
  return foriLoop(0..<sweeps, initial: propose(target, detach(initial), loss: .rws)) { _, first in
    kernels.reduce(first) { q, kernel in
      propose(extend(target, kernel), compose(kernel, resample(q)), loss: .apg)
    }
  }
}
