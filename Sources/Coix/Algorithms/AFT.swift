import CoixParallel

/// Annealed flow transport: resampled particles go from target to target by normalising flows, each of which
/// learns from its own step's evidence lower bound.
///
/// Arbel, Matthews and Doucet, "Annealed flow transport Monte Carlo", 2021.
///
/// A flow's log-density is what its step divides by. For weights that estimate the evidence it must be that
/// of the point under the flow, log p(x) - log |det dT/dx|, with the log-probability p(x) of the sampled
/// sites that it moves; what the target before has observed is divided out anyway. The gradients that train a
/// flow are the same without log p(x).
///
/// - Parameters:
///   - targets: K distributions, the first of which can be sampled.
///   - flows: K - 1 deterministic kernels T, from each target to the next: `Delta` sites with log-densities
///     as above.
/// - Throws: `CoixError.argument(_:)` without a target, or for another number of flows.
public func aft<I, O>(
  targets: [some TargetProgram<I, O>], flows: [some KernelProgram<O, some TensorTree>]
) throws -> Inference<I, O> {
  try requireSteps("aft", targets: targets.count, ["flows": flows.count])
  var q = Inference(targets[0])
  for (target, flow) in zip(targets.dropFirst(), flows) {
    q = propose(target, compose(flow, resample(q)), loss: .elbo, detach: true)
  }
  return q
}

/// The same as a loop: `target` is called for the steps 0..<count, `flow` for 0..<count - 1, the flows from a
/// target to the next.
///
/// - Throws: `CoixError.argument(_:)` for a count below one, and what `target` throws for the first step.
///   What the closures throw for later steps comes out of the evaluation.
public func aft<I, O>(
  count: Int, target: @escaping @Sendable (_ step: Int) throws -> some TargetProgram<I, O>,
  flow: @escaping @Sendable (_ step: Int) throws -> some KernelProgram<O, some TensorTree>
) throws -> Inference<I, O> {
  try requireSteps("aft", targets: count)
  return foriLoop(0..<count - 1, initial: try target(0)) { step, q in
    propose(try target(step + 1), compose(try flow(step), resample(q)), loss: .elbo, detach: true)
  }
}
