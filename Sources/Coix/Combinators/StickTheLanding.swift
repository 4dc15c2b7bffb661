import CoixParallel

/// The program with log-probabilities of latent variables that take no gradient to the distributions' parameters.
///
/// Gradients still flow through values. Roeder, Wu and Duvenaud, "Sticking the landing: simple, lower-variance gradient estimators
/// for variational inference", 2017.
public func stickTheLanding<I, O>(_ program: some KernelProgram<I, O>) -> Kernel<I, O> {
  Kernel(node: .handling("stickTheLanding", program) { $0.sticksTheLanding = true })
}

/// The same for a model.
public func stickTheLanding<I, O>(_ program: some PrimitiveProgram<I, O>) -> Model<I, O> {
  Model(node: .handling("stickTheLanding", program) { $0.sticksTheLanding = true })
}

/// The same for a target.
public func stickTheLanding<I, O>(_ program: some TargetProgram<I, O>) -> Target<I, O> {
  Target(node: .handling("stickTheLanding", program) { $0.sticksTheLanding = true })
}

/// The same for an inference program.
public func stickTheLanding<I, O>(_ program: some InferenceProgram<I, O>) -> Inference<I, O> {
  Inference(node: .handling("stickTheLanding", program) { $0.sticksTheLanding = true })
}
