import Coix
import TestSupport
import Testing

/// Perceptrons over points that lie along further axes: each point's output is that of the network on it
/// alone.
@Suite struct MLPTests {
  static let network = MLP(sizes: [2, 5, 3], activation: .tanh, key: PRNGKey(7))
  static let points = Draw(key: PRNGKey(8), shape: [4, 2]).normal()

  @Test func pointsByThemselves() {
    let together = Self.network(Self.points)
    #expect(together.shape == [4, 3])
    let apart = Tensor.stack((0..<4).map { Self.network(Self.points[$0]) })
    #expect(distance(together.scalars, apart.scalars.map(Double.init)) < 1e-6)
    #expect(Self.network(Self.points.reshaped(to: [2, 2, 2])).scalars == together.scalars)
    #expect(Self.network.layers[0](Self.points).shape == [4, 5])
  }

  /// In a program, with points that vary over particles, the gradient is that of one call for each point.
  @Test func gradientsInAProgram() throws {
    func gradient(_ apply: @escaping @Sendable (MLP, Tensor) -> Tensor) throws -> [Float] {
      let particles = Plate("particle", count: 40, chunkRows: 16)
      return try valueWithGradient(at: Self.network) { network in
        let target = Model { (trace) in
          let z = trace.sample("z", from: Normal(0, 1).expanded(to: [4, 2]).event(2))
          trace.observe("x", .zeros([4, 3]), from: Normal(apply(network, z), 1).event(2))
          return z
        }
        let proposal = Kernel { (trace) in
          trace.sample("z", from: Normal(0, 1).expanded(to: [4, 2]).event(2))
        }
        return try evaluate(propose(particles(target), particles(proposal), loss: .elbo), seed: 1)().metrics
          .loss
      }.gradient.namedTensors.flatMap(\.tensor.scalars)
    }
    let together = try gradient { $0($1) }
    let apart = try gradient { network, z in Tensor.stack((0..<4).map { network(z[$0]) }) }
    #expect(together.contains { $0 != 0 })
    #expect(distance(together, apart.map(Double.init)) < 1e-5)
  }
}
