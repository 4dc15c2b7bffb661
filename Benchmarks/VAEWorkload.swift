import Coix
import ExampleModels

/// The two-moons VAE of the tutorial: the same work as `Peers/vae.py` does on the reference.
struct VAEWorkload: Workload {
  let name = "vae"
  let modes = [Mode.train, .forward, .gradient]
  /// Points that training draws its batches from.
  static let trainingPoints = 10_000

  func makeData(_ mode: Mode, particles: Int) throws -> Tensor {
    try PointData.moons(mode == .train ? Self.trainingPoints : particles, key: 0)
  }

  func makeJob(_ mode: Mode, data: Tensor, particles: Int, workers: Workers) throws -> any Job {
    let vae = VAE(key: 0)
    switch mode {
    case .forward: return Forward(vae: vae, data: data, workers: workers)
    case .gradient: return Gradient(vae: vae, data: data, workers: workers)
    case .train:
      var experiment = VAEExperiment()
      experiment.batch = particles
      try experiment.validate()
      return Train(training: VAETraining(vae, data: data, batch: particles, key: 0, workers: workers))
    }
  }

  /// Weights, effective sample size and evidence.
  struct Forward: Job {
    let vae: VAE
    let data: Tensor
    let workers: Workers
    private(set) var metrics: Metrics?

    mutating func run() throws {
      let plate = VAE.plate(data.shape[0])
      let options = EvaluationOptions(workers: workers, keep: .metrics)
      metrics = try evaluate(vae.inference(plate), seed: 0, options: options)(plate.mapped(data)).metrics
    }

    func addResult(to digest: inout Digest) {
      digest.add(metrics?.logWeight)
      digest.add(try? metrics?.ess)
      digest.add(try? metrics?.logZ)
    }
  }

  /// The ELBO's loss and its gradient by all parameters.
  private struct Gradient: Job {
    let vae: VAE
    let data: Tensor
    let workers: Workers
    var result: ValueWithGradient<VAE>?

    mutating func run() throws {
      result = try vae.lossAndGradient(data, key: 0, workers: workers)
    }

    func addResult(to digest: inout Digest) {
      digest.add(result?.value ?? .nan)
      digest.add(result?.gradient)
    }
  }

  /// Keys, a batch, the loss with its gradient, and Adam's step.
  private struct Train: Job {
    var training: VAETraining
    var loss: Float = .nan

    mutating func run() throws {
      loss = try training.advance()
    }

    func addResult(to digest: inout Digest) {
      digest.add(loss)
      digest.add(training.vae)
    }
  }
}
