/// The program with non-reparameterised latent variables: no gradient flows through the values that it draws.
///
/// Values that a combinator gives to its sites are not touched, and log-probabilities keep their gradients.
public func detach<Program: InferenceProgram>(_ program: Program) -> Program.SameLevel {
  program.treatingSites("detach") { $0.isDetached = true }
}
