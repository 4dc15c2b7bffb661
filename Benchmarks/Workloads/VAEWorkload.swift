import Coix
import ExampleModels

/// The two-moons VAE of the tutorial.
struct VAEWorkload: Workload {
  let name = "vae"
  let modes: KeyValuePairs<Mode, Int> = [.train: 300, .forward: 1_000_000, .gradient: 1_000_000]
  /// Points that training draws its batches from.
  static let trainingPoints = 10_000

  func jobs(_ mode: Mode, particles: Int) throws -> (Workers) throws -> any Job {
    let vae = VAE(key: 0)
    let data = try PointData.moons(mode == .train ? Self.trainingPoints : particles, key: 0)
    guard mode == .train else { return { vae.job(mode, data: data, workers: $0) } }
    var experiment = VAEExperiment()
    experiment.batch = particles
    try experiment.validate()
    return { workers in
      let loss = VAEBatchLoss(data, batch: particles, workers: workers)
      return TrainingJob(vae, workers: workers) { try loss($0, key: $1) }
    }
  }
}

extension VAE {
  /// Weights, effective sample size and evidence of all data, or the ELBO's loss and its gradient by all
  /// parameters.
  func job(_ mode: Mode, data: Tensor, workers: Workers) -> any Job {
    guard mode == .forward else {
      return GradientJob(at: self, workers: workers) { try $0.loss(data, key: $1, workers: workers) }
    }
    return EvaluationJob(compiledFor: workers) {
      EvaluationJob.Summary(try metrics(data, key: $0, workers: workers))
    }
  }

  func metrics(_ data: Tensor, key: PRNGKey, workers: Workers) throws -> Metrics {
    let plate = VAE.plate(data.shape[0])
    let options = EvaluationOptions(workers: workers, keep: .metrics)
    return try evaluate(inference(plate), seed: key, options: options)(plate.mapped(data)).metrics
  }
}
