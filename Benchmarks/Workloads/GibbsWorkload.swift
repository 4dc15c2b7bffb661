import Coix
import ExampleModels

/// Amortized population Gibbs sampling for sets of points, as the mixture's example trains it. A particle is one of
/// a set's.
struct GibbsWorkload<Mixture: GibbsExperimentModel>: Workload {
  let name: String
  let modes: KeyValuePairs<Mode, Int> = [.train: GibbsExperiment<Mixture>().particles]

  func jobs(_ mode: Mode, particles: Int) throws -> (Workers) throws -> any Job {
    var experiment = GibbsExperiment<Mixture>()
    experiment.particles = particles
    try experiment.validate()
    let data = try Mixture.sets(experiment.trainCount, points: experiment.points, key: 1).points
    return { [experiment] workers in
      TrainingJob(Mixture(key: 0), workers: workers) { mixture, key in
        let (batchKey, seed) = key.split()
        return try mixture.loss(
          of: data.sampledRows(experiment.batch, key: batchKey), particles: experiment.particles,
          sweeps: experiment.sweeps, key: seed, workers: workers)
      }
    }
  }
}
