import Coix
import CoixParallel

/// Normal numbers outside of all plates.
struct RandomWorkload: Workload {
  let name = "random"
  let modes: KeyValuePairs<Mode, Int> = [.forward: 10_000_000]

  func jobs(_ mode: Mode, particles: Int) throws -> (Workers) throws -> any Job {
    { workers in
      let caller = ExecutionContext.caller(team: workers.team)
      return TensorJob {
        try caller.withCurrent { try Draw(key: 5, shape: [particles]).normal().validated() }
      }
    }
  }
}
