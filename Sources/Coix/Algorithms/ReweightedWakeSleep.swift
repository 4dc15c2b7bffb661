import CoixParallel

/// Reweighted wake-sleep: self-normalised weights train the target towards the evidence, and the proposal
/// towards the posterior. No gradient flows through samples, which may therefore be discrete.
///
/// 1. Bornschein and Bengio, "Reweighted wake-sleep", 2015.
/// 2. Le, Kosiorek, Siddharth, Teh and Wood, "Revisiting reweighted wake-sleep for models with stochastic
///    control flow", 2019.
public func rws<I, O>(
  _ target: some TargetProgram<I, O>, _ proposal: some InferenceProgram<I, some TensorTree>
) -> Inference<I, O> {
  propose(target, detach(proposal), loss: .rws)
}
