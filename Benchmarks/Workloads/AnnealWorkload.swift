import Coix
import ExampleModels

/// The annealed sampler of coix's example: nested variational inference on the way from a wide normal to
/// eight modes.
struct AnnealWorkload: Workload {
  let name = "anneal"
  let modes: KeyValuePairs<Mode, Int> = [.train: 36, .gradient: 100_000, .forward: 1_000_000]

  func jobs(_ mode: Mode, particles: Int) throws -> (Workers) throws -> any Job {
    let plate = Plate("particle", count: particles)
    let sampler = AnnealedSampler()
    return { workers in
      let options = EvaluationOptions(workers: workers, keep: .metrics)
      func loss(_ sampler: AnnealedSampler, seed: PRNGKey) throws -> Tensor {
        try evaluate(sampler.training(plate), seed: seed, options: options)().metrics.loss
      }
      switch mode {
      case .forward:
        return EvaluationJob(compiledFor: workers) { key in
          EvaluationJob.Summary(
            try evaluate(sampler.inference(plate), seed: key, options: options)().metrics)
        }
      case .gradient:
        return GradientJob(at: sampler, workers: workers) { try loss($0, seed: $1) }
      case .train:
        return TrainingJob(sampler, workers: workers) { try loss($0, seed: $1) }
      }
    }
  }
}
