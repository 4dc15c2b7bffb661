import Coix
import Foundation

/// A bootstrap filter of few particles and many steps, for stochastic volatility, written as a loop: what a
/// step costs that has hardly any work.
struct FilterWorkload: Workload {
  let name = "filter"
  let modes: KeyValuePairs<Mode, Int> = [.forward: 1_000]
  static let steps = 800

  func jobs(_ mode: Mode, particles count: Int) throws -> (Workers) throws -> any Job {
    let particles = Plate("particle", count: count)
    return { workers in
      let options = EvaluationOptions(workers: workers, keep: .metrics)
      return EvaluationJob { key in
        let filter = foriLoop(1..<Self.steps, initial: particles(Self.first)) { step, q in
          compose(particles(Self.next(step)), resample(q))
        }
        return EvaluationJob.Summary(try evaluate(filter, seed: key, options: options)().metrics)
      }
    }
  }

  // MARK: The model

  /// The log-volatility's mean, its slope, and the scale of its steps.
  private static let (mean, slope, scale): (Float, Float, Float) = (-1, 0.95, 0.25)

  private static func observation(_ step: Int) -> Tensor { Tensor(Float(sin(Double(step) * 1.7)) * 0.7) }

  private static let first = Model { trace in
    let h = trace.sample("h", from: Normal(mean, scale / (1 - slope * slope).squareRoot()))
    trace.observe("y", observation(0), from: Normal(0, exp(h / 2)))
    return h
  }

  private static func next(_ step: Int) -> Model<Tuple<Tensor>, Tuple<Tensor>> {
    Model { (trace, before: Tensor) in
      let h = trace.sample("h", from: Normal(mean + slope * (before - mean), scale))
      trace.observe("y", observation(step), from: Normal(0, exp(h / 2)))
      return h
    }
  }
}
