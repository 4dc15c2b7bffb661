import Coix
import ExampleModels

/// Amortized population Gibbs sampling for bouncing digits, as the example trains it. The digits are random
/// numbers. A particle is one of a sequence's.
struct BMNISTWorkload: Workload {
  let name = "bmnist"
  let modes: KeyValuePairs<Mode, Int> = [.train: BMNISTExperiment().particles]
  /// How many digits there are, their height and width, and those of frames.
  private static let (digits, size, frameSize) = (100, 14, 32)
  /// Sequences that training draws its batches from.
  private static let sequences = 400

  func jobs(_ mode: Mode, particles: Int) throws -> (Workers) throws -> any Job {
    var experiment = BMNISTExperiment()
    experiment.particles = particles
    try experiment.validate()
    let images = Draw(key: 1, shape: [Self.digits, Self.size, Self.size]).uniform()
    let digits = try BouncingDigits(images: images)
    let data = try digits.sequences(
      Self.sequences, frameCount: experiment.frames, frameSize: Self.frameSize, key: 2)
    return { [experiment] workers in
      let model = BMNIST(
        meanDigit: digits.mean, frameSize: Self.frameSize, hidden: experiment.hidden, key: 0)
      return TrainingJob(model, workers: workers) { model, key in
        let (batchKey, seed) = key.split()
        return try model.loss(
          data.sampledRows(experiment.batch, key: batchKey), particleCount: experiment.particles,
          sweeps: experiment.sweeps, key: seed, workers: workers)
      }
    }
  }
}
