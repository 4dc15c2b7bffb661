import CoixParallel

/// Stochastic variational inference with the objective of importance weighted autoencoders, a bound that is
/// the tighter the more particles there are.
///
/// Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders", 2016.
public func sviIWAE<I, O>(
  _ target: some TargetProgram<I, O>, _ proposal: some InferenceProgram<I, some TensorTree>
) -> Inference<I, O> {
  propose(target, proposal, loss: .iwae)
}
