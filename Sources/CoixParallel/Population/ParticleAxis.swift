// Functions with which objectives compute over all particles of a whole tensor, `[particles, instances…, …]`,
// separately for each instance.

extension Tensor {
  /// How many particles a whole tensor has; nil without a particle axis.
  package var particleCount: Int? { shape.first }

  /// The normalised weights of log-weights, without a gradient.
  package var normalizedOverParticles: Tensor { softmax(axis: 0).detached }

  /// The sum over particles.
  package var summedOverParticles: Tensor { sum(axis: 0) }
}
