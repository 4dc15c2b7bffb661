import Coix
import Testing

/// Of several errors of a run the same one is thrown, on any number of threads and in any order of the
/// chunks, replayed or not.
@Suite struct ErrorDeterminismTests {
  /// A program with faults in some of its rows, and the message that is to come.
  struct Faults: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let run: @Sendable (EvaluationOptions) throws -> Void
    /// A part of the message.
    let expected: String
  }

  private static let rows = 1_600
  private static let particles = Plate("particle", count: rows, chunkRows: 16)
  private static let few = Plate("particle", count: 80, chunkRows: 16)
  private static let instances = Plate("instance", count: 20)

  private static let model = Model { (trace, mean: Tensor, scale: Tensor) in
    let z = trace.sample("z", from: Normal(mean, 1))
    trace.observe("x", 0, from: Normal(z, scale))
    return (z, scale)
  }

  /// Ones, but `number` at some rows.
  private static func ones(_ count: Int, but number: Float, at rows: [Int]) -> Tensor {
    Tensor((0..<count).map { rows.contains($0) ? number : 1 })
  }

  static let all: [Faults] = [
    Faults(
      testDescription: "NaN and a parameter",
      run: { options in
        _ = try evaluate(particles(model), seed: 1, options: options)(
          particles.mapped(ones(rows, but: .nan, at: [900, 1_599])),
          particles.mapped(ones(rows, but: -1, at: [731, 1_000])))
      }, expected: "(particle 731)"),
    Faults(
      testDescription: "a parameter and NaN",
      run: { options in
        _ = try evaluate(particles(model), seed: 1, options: options)(
          particles.mapped(ones(rows, but: .nan, at: [33, 1_599])),
          particles.mapped(ones(rows, but: -1, at: [700, 1_000])))
      }, expected: "(particle 33)"),
    Faults(
      testDescription: "with a gradient",
      run: { options in
        _ = try valueWithGradient(at: Tensor(0.5), workers: options.workers) { shift in
          let shifted = Kernel { (trace, mean: Tensor, scale: Tensor) in
            trace.sample("z", from: Normal(mean + shift, scale))
          }
          let inference = propose(particles(model), particles(shifted), loss: .elbo)
          return try evaluate(inference, seed: 1, options: options)(
            particles.mapped(ones(rows, but: .nan, at: [800, 1_200])),
            particles.mapped(ones(rows, but: -1, at: [500, 1_599]))
          ).metrics.loss
        }
      }, expected: "(particle 500)"),
    Faults(
      testDescription: "behind a resampling",
      run: { options in
        let first = Kernel { (trace, scale: Tensor) in
          _ = trace.sample("y", from: Normal(0, 1))
          return scale
        }
        let second = Kernel { (trace, scale: Tensor) in trace.sample("z", from: Normal(0, scale)) }
        _ = try evaluate(compose(particles(second), resample(particles(first))), seed: 1, options: options)(
          particles.mapped(ones(rows, but: -1, at: [450, 999, 1_300])))
      }, expected: "stage 2: site \"z\": scale must be"),
    Faults(
      testDescription: "nested plates",
      run: { options in
        _ = try evaluate(few(instances(model)), seed: 1, options: options)(
          few.mapped(Tensor.ones([80])),
          instances.mapped(ones(20, but: -1, at: [7, 11])))
      }, expected: "(particle 0, instance 7)"),
    Faults(
      testDescription: "weights of several instances",
      run: { options in
        let inference = propose(few(instances(model)), few(instances(model)))
        var unchecked = options
        unchecked.checks = false
        _ = try evaluate(resample(inference), seed: 1, options: unchecked)(
          few.mapped(Tensor.ones([80])),
          instances.mapped(ones(20, but: .nan, at: [13, 4])))
      }, expected: "instance 4)"),
  ]

  @Test(arguments: all)
  func theSameErrorIsThrown(_ faults: Faults) throws {
    func text(_ way: WayToRun) throws -> String? {
      let options = try way.options { $0.checks = true }
      return message { try faults.run(options) }
    }
    let reference = try text(.plain)
    #expect(reference?.contains(faults.expected) == true, "\(reference ?? "none")")
    for way in WayToRun.others { #expect(try text(way) == reference, "\(way)") }
  }
}
