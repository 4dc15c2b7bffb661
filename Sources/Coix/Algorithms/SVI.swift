import CoixParallel

/// Stochastic variational inference: the proposal's samples, weighted for the target, with the evidence lower
/// bound as objective.
///
/// 1. Kingma and Welling, "Auto-encoding variational Bayes", 2014.
/// 2. Rezende, Mohamed and Wierstra, "Stochastic backpropagation and approximate inference in deep generative
///    models", 2014.
public func svi<I, O>(
  _ target: some TargetProgram<I, O>, _ proposal: some InferenceProgram<I, some TensorTree>
) -> Inference<I, O> {
  propose(target, proposal, loss: .elbo)
}
