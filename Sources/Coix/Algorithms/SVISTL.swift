import CoixParallel

/// Stochastic variational inference with the gradient estimator that sticks the landing: its variance
/// vanishes as the proposal approaches the posterior.
///
/// Roeder, Wu and Duvenaud, "Sticking the landing: simple, lower-variance gradient estimators for variational
/// inference", 2017.
public func sviSTL<I, O>(
  _ target: some TargetProgram<I, O>, _ proposal: some InferenceProgram<I, some TensorTree>
) -> Inference<I, O> {
  propose(target, stickTheLanding(proposal), loss: .elbo)
}
