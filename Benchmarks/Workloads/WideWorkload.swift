import Coix
import ExampleModels

/// A VAE of wide layers, 128 → 512 → 32 and back, on normal numbers: nearly all of its time are products of
/// matrices.
struct WideWorkload: Workload {
  let name = "wide"
  let modes: KeyValuePairs<Mode, Int> = [.forward: 131_072, .gradient: 131_072]

  func jobs(_ mode: Mode, particles: Int) throws -> (Workers) throws -> any Job {
    let vae = VAE(encoder: MLP(sizes: [128, 512, 32], key: 1), decoder: MLP(sizes: [32, 512, 128], key: 2))
    let data = try Draw(key: 3, shape: [particles, 128]).normal().validated()
    return { vae.job(mode, data: data, workers: $0) }
  }
}
