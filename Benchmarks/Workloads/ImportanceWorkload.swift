import Coix

/// Importance sampling from the prior for a quadratic polynomial through 50 points: model, points and number
/// of particles are those of the benchmark that was published with GenJAX.
struct ImportanceWorkload: Workload {
  let name = "importance"
  let modes: KeyValuePairs<Mode, Int> = [.forward: 10_000]

  func jobs(_ mode: Mode, particles: Int) throws -> (Workers) throws -> any Job {
    let program = Plate("particle", count: particles)(Self.model)
    return { workers in
      let options = EvaluationOptions(workers: workers, keep: .output)
      return EvaluationJob(compiledFor: workers) { key in
        let result = try evaluate(program, seed: key, options: options)()
        return EvaluationJob.Summary(result.metrics, output: result.output.flattened)
      }
    }
  }

  private static let x = Tensor((0..<50).map { Float($0) / 49 })
  private static let y = 0.5 - 1.25 * x + 2 * x.squared + 0.05 * Draw(key: 42, shape: x.shape).normal()

  /// Returns the coefficients.
  private static let model = Model { [x, y] trace in
    let a = trace.sample("a", from: Normal(0, 1))
    let b = trace.sample("b", from: Normal(0, 1))
    let c = trace.sample("c", from: Normal(0, 1))
    trace.observe("y", y, from: Normal(a + b * x + c * x.squared, 0.05).event(1))
    return (a, b, c)
  }
}
