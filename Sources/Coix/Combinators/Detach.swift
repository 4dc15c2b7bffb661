import CoixParallel

/// The program with non-reparameterised latent variables: no gradient flows through the values that it draws.
///
/// Values that a combinator gives to its sites are not touched, and log-probabilities keep their gradients.
public func detach<I, O>(_ program: some KernelProgram<I, O>) -> Kernel<I, O> {
  Kernel(node: .handling("detach", program) { $0.isDetached = true })
}

/// The same for a model.
public func detach<I, O>(_ program: some PrimitiveProgram<I, O>) -> Model<I, O> {
  Model(node: .handling("detach", program) { $0.isDetached = true })
}

/// The same for a target.
public func detach<I, O>(_ program: some TargetProgram<I, O>) -> Target<I, O> {
  Target(node: .handling("detach", program) { $0.isDetached = true })
}

/// The same for an inference program.
public func detach<I, O>(_ program: some InferenceProgram<I, O>) -> Inference<I, O> {
  Inference(node: .handling("detach", program) { $0.isDetached = true })
}
