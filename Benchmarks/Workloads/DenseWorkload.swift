import Coix

/// Three dense layers, 128 → 512 → 512 → 128, and the density of targets around their output: regression.
struct DenseWorkload: Workload {
  let name = "dense"
  let modes: KeyValuePairs<Mode, Int> = [.forward: 16_384, .gradient: 16_384]

  func jobs(_ mode: Mode, particles: Int) throws -> (Workers) throws -> any Job {
    let network = MLP(sizes: [128, 512, 512, 128], key: 1)
    let plate = Plate("row", count: particles)
    let inputs = try Draw(key: 2, shape: [particles, 128]).normal().validated()
    let targets = try Draw(key: 3, shape: [particles, 128]).normal().validated()
    return { workers in
      let options = EvaluationOptions(workers: workers, keep: .metrics)
      func run(_ network: MLP) throws -> Metrics {
        let program = propose(plate(Self.model(network)), plate(Self.nothing), loss: .elbo)
        let (inputs, targets) = (plate.mapped(inputs), plate.mapped(targets))
        return try evaluate(program, seed: 0, options: options)(inputs, targets).metrics
      }
      guard mode == .gradient else {
        return EvaluationJob(compiledFor: workers) { _ in EvaluationJob.Summary(try run(network)) }
      }
      return GradientJob(at: network, workers: workers) { network, _ in try run(network).loss }
    }
  }

  private static func model(_ network: MLP) -> Model<Tuple<Tensor, Tensor>, Tuple<Tensor>> {
    Model { (trace, x: Tensor, y: Tensor) in
      let mean = network(x)
      trace.observe("y", y, from: Normal(mean, 1).event(1))
      return mean
    }
  }

  /// There are no latent variables to propose.
  private static let nothing = Kernel { (trace, x: Tensor, y: Tensor) in x }
}
