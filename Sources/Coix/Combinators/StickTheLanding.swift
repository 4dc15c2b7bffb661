/// The program with log-probabilities of latent variables that take no gradient to the distributions'
/// parameters.
///
/// Gradients still flow through values. Roeder, Wu and Duvenaud, "Sticking the landing: simple,
/// lower-variance gradient estimators for variational inference", 2017.
public func stickTheLanding<Program: InferenceProgram>(_ program: Program) -> Program.SameLevel {
  program.treatingSites("stickTheLanding") { $0.sticksTheLanding = true }
}
