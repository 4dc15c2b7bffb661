import CoixParallel

/// Leapfrog steps of Hamiltonian dynamics with unit mass, along the gradients of a log-density: half a step of
/// the momentum, a step of the position, half a step of the momentum.
///
/// For use within a kernel, whose sites then hold the result. The map from state to state keeps volumes, so that
/// `Delta` sites need no Jacobian. All of it can be differentiated, the step size included.
///
/// - Parameters:
///   - logDensity: the log-density of a position, one number for each particle; up to a constant.
///   - position: the position, of any event shape.
///   - momentum: the momentum, of the same shape.
///   - stepSize: a number, or one for each element.
///   - steps: how many steps are taken.
/// - Returns: the position and the momentum after the steps.
/// - Throws: what `logDensity` throws, and the errors of `gradient(of:at:)`.
public func leapfrog(
  _ logDensity: (Tensor) throws -> Tensor, position: Tensor, momentum: Tensor, stepSize: Tensor,
  steps: Int = 1
) throws -> (position: Tensor, momentum: Tensor) {
  guard steps > 0 else { return (position, momentum) }
  var (position, momentum) = (position, momentum)
  var push = stepSize / 2 * (try gradient(of: logDensity, at: position))
  for _ in 0..<steps {
    momentum += push
    position += stepSize * momentum
    push = stepSize / 2 * (try gradient(of: logDensity, at: position))
    momentum += push
  }
  return (position, momentum)
}
