import CoixParallel

/// Nested variational inference with the forward Kullback-Leibler divergence: each proposal learns from the
/// weights of its own step.
///
/// The targets are smoothing distributions, where ``nasmc(targets:initial:proposals:)`` has filtering ones,
/// and the last one has no parameters: the objective trains proposals only.
///
/// Zimmermann, Wu, Esmaeili and van de Meent, "Nested variational inference", 2021.
///
/// - Parameters:
///   - targets: K smoothing distributions.
///   - initial: the proposal for the first of them.
///   - proposals: K - 1 kernels; each takes what a target returns, and proposes for the next one.
/// - Throws: `CoixError.argument(_:)` without a target, or for another number of proposals.
public func nviFKL<I, O>(
  targets: [some TargetProgram<I, O>], initial: some InferenceProgram<I, some TensorTree>,
  proposals: [some KernelProgram<O, some TensorTree>]
) throws -> Inference<I, O> {
  try requireSteps("nviFKL", targets: targets.count, ["proposals": proposals.count])
  var q = propose(targets[0], detach(initial), loss: .fkl)
  for (target, proposal) in zip(targets.dropFirst(), proposals) {
    q = propose(target, compose(detach(proposal), resample(q)), loss: .fkl)
  }
  return q
}

/// The same as a loop: `target` is called for the steps 0..<count, `proposal` for 1..<count.
///
/// - Throws: `CoixError.argument(_:)` for a count below one, and what `target` throws for the first step.
///   What the closures throw for later steps comes out of the evaluation.
public func nviFKL<I, O>(
  count: Int, target: @escaping @Sendable (_ step: Int) throws -> some TargetProgram<I, O>,
  initial: some InferenceProgram<I, some TensorTree>,
  proposal: @escaping @Sendable (_ step: Int) throws -> some KernelProgram<O, some TensorTree>
) throws -> Inference<I, O> {
  try requireSteps("nviFKL", targets: count)
  let first = propose(try target(0), detach(initial), loss: .fkl)
  return foriLoop(1..<count, initial: first) { step, q in
    propose(try target(step), compose(detach(try proposal(step)), resample(q)), loss: .fkl)
  }
}
