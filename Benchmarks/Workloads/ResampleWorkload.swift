import Coix
import CoixParallel
import ExampleModels

/// Systematic resampling: the ancestors of as many particles as there are weights.
struct ResampleWorkload: Workload {
  let name = "resample"
  let modes: KeyValuePairs<Mode, Int> = [.forward: 1_000_000]

  func jobs(_ mode: Mode, particles: Int) throws -> (Workers) throws -> any Job {
    let logWeights = try Draw(key: 7, shape: [particles]).normal().validated()
    return { workers in
      Resampling(weights: try LogWeights(logWeights, workers: workers), count: particles)
    }
  }

  private struct Resampling: Job {
    let weights: LogWeights
    let count: Int
    var ancestors: Ancestors?

    mutating func run() throws {
      ancestors = nil  // its memory can be had again
      ancestors = try weights.ancestors(.systematic, key: 8, count: count)
    }

    func addResult(to digest: inout Digest) throws {
      guard let rows = try? ancestors?.index.rows else { return }
      for position in 0..<rows.count { digest.add(Float(bitPattern: UInt32(bitPattern: rows[position]))) }
    }
  }
}
