import Coix
import ExampleModels
import Testing

@testable import bench

/// What the workloads compute, where it is known: by the Kalman filter, and from the hand-fused loops in
/// `Benchmarks/Limits`, which draw the same numbers.
@Suite struct WorkloadTests {
  private func run<J: Job>(
    _ type: J.Type, _ workload: some Workload, _ mode: Mode, particles: Int
  ) throws -> J {
    var job = try #require(try workload.jobs(mode, particles: particles)(.standard) as? J)
    try job.run()
    return job
  }

  /// The loop's numbers are those of `smc gradient 100`. With many particles rounding decides here and there
  /// who is whose ancestor, and numbers agree less well.
  @Test func filterIsTheLoop() throws {
    let summary = try run(EvaluationJob.self, SMCWorkload(), .forward, particles: 100).result
    #expect(isClose(try #require(summary?.logZ).scalar, -202.01336, within: 2e-6))
    let result = try run(GradientJob<Dynamics>.self, SMCWorkload(), .gradient, particles: 100).result
    let gradient = try #require(result).gradient
    #expect(isClose(gradient.slope.scalar, 101.0986, within: 1e-4))
    #expect(isClose(gradient.logScale.scalar, 3.2870, within: 1e-4))
  }

  /// With 20,000 particles log Z has a standard deviation of 0.22 (over 30 runs of another program) and a
  /// bias of -0.02; the bound is five of these.
  @Test func filterFindsTheEvidence() throws {
    let filter = KalmanFilter(
      transition: Matrix([[0.9, 0], [0, 0.9]]), emission: .identity(2), prior: 1, drift: 1, noise: 1)
    let exact = filter.logEvidence(SMCWorkload.observations.map { $0.scalars.map(Double.init) })
    let summary = try run(EvaluationJob.self, SMCWorkload(), .forward, particles: 20_000).result
    #expect(abs(Double(try #require(summary?.logZ).scalar) - exact) < 1.1)
  }

  /// The loop's numbers are those of `anneal forward 300` and `anneal losses`.
  @Test func annealedSamplerIsTheLoop() throws {
    let summary = try run(EvaluationJob.self, AnnealWorkload(), .forward, particles: 300).result
    #expect(isClose(try #require(summary?.logZ).scalar, 1.66841, within: 1e-5))
    #expect(isClose(try #require(summary?.ess).scalar, 91.4, within: 1e-3))

    var training = try run(TrainingJob<AnnealedSampler>.self, AnnealWorkload(), .train, particles: 36)
    for loss: Float in [11.496958, 14.784115, 12.446014, 11.501589, 11.588471] {
      #expect(isClose(training.loss, loss, within: 1e-5))
      try training.run()
    }
  }

  private func isClose(_ value: Float, _ expected: Float, within relative: Float) -> Bool {
    abs(value - expected) <= relative * abs(expected)
  }
}
