import Coix
import CoixParallel
import TestSupport
import Testing

/// Algorithms of many steps, as lists and as loops: the right answers, on a small stack, with work that grows
/// with the steps.
@Suite struct AlgorithmStepsTests {
  /// 50 steps of a state-space model against the Kalman filter.
  ///
  /// With S particles the asymptotic variance of log Z is the sum over steps of the weights' relative
  /// variances, divided by S. Under these proposals a step's weight is Normal(y; c a z, s), s² = c² σ_z² +
  /// σ_y² = 0.93, of a state z whose share in y has the variance τ² = c² a² P = 0.17, P that of the filter.
  /// Averaged over y the relative variance is (s² + τ²) / √(s² (s² + 2 τ²)) / √(1 - 2 τ² / (s² + 2 τ²)) - 1 =
  /// 0.19, so that log Z has a standard deviation of √(50 · 0.19 / 2000) = 0.07; the bound is five of these.
  /// The last state's mean is that of 2000 weighted particles of the filter's scale: five standard errors,
  /// doubled for resampling.
  @Test(arguments: ["nasmc", "nvi_fkl", "vsmc"], ["list", "loop"])
  func kalmanFilter(_ algorithm: String, _ form: String) throws {
    let particles = 2_000
    let example = AlgorithmExample.stateSpace(algorithm, form, steps: 50)
    let plate = Plate("particle", count: particles)
    let result = try example.program(plate, at: example.parameters).run(11, EvaluationOptions())
    let exact = KalmanModel(observations: KalmanModel.observations(50)).filtered
    #expect(result.stageCount == 50)
    #expect((Double(try result.metrics.logZ.scalar) - exact.logEvidence).magnitude < 0.35)

    let states = try #require(result.outputs.last).tensor
    let weights = result.metrics.logWeight.softmax(axis: 0)
    let mean = Double((weights * states).sum().scalar)
    #expect((mean - exact.mean).magnitude < 10 * exact.scale / Double(particles).squareRoot())
    #expect(result.outputs.count == 50 && result.trace.sites.count == 100)
  }

  // MARK: A thousand steps

  static let deep = ["nasmc", "nvi_fkl", "vsmc", "nvi_rkl", "aft"].flatMap { algorithm in
    ["list", "loop"].map { (algorithm, $0) }
  }
  static let plate = Plate("particle", count: 20)

  /// An evaluation, a gradient, and letting go of the program.
  @Test(arguments: ["list", "loop"])
  func aThousandStepsOnASmallStack(_ form: String) throws {
    let example = AlgorithmExample.annealed("vsmc", form, count: 1_000)
    try onSmallStack {
      let result = try example.program(Self.plate, at: example.parameters).run(1, EvaluationOptions())
      #expect(result.stageCount == 1_000)
      #expect(try result.metrics.logZ.scalar.isFinite)
      let gradient = try valueWithGradient(at: example.parameters) { parameters in
        try example.program(Self.plate, at: parameters).run(1, EvaluationOptions()).metrics.loss
      }
      let slopes = try gradient.gradient.entry("fa").scalars
      #expect(slopes.allSatisfy { $0.isFinite } && slopes.contains { $0 != 0 })
    }
  }

  /// What is done with row numbers grows with the steps, not with their square.
  @Test(arguments: deep)
  func workGrowsWithTheSteps(_ algorithm: String, _ form: String) throws {
    func work(_ steps: Int) throws -> (evaluation: RowWork, gradient: RowWork) {
      let example = AlgorithmExample.annealed(algorithm, form, count: steps)
      let context = ExecutionContext.caller(team: 1)
      _ = try context.withCurrent {
        try example.program(Self.plate, at: example.parameters).run(1, EvaluationOptions())
      }
      var tracked: ExecutionContext?
      _ = try valueWithGradient(at: example.parameters) { parameters in
        tracked = ExecutionContext.current
        return try example.program(Self.plate, at: parameters).run(1, EvaluationOptions()).metrics.loss
      }
      return (context.rowWork, try #require(tracked).rowWork)
    }
    for steps in [20, 80] {
      let (evaluation, gradient) = try work(steps)
      for work in [evaluation, gradient] {
        // Every stage reads what it goes on with; what is gathered between stages is what a step's objective
        // reads.
        #expect(work.compositions == 0)
        #expect(work.gathers <= 4 * steps)
      }
      // Ancestors are in order.
      #expect(evaluation.sorts == 0 && gradient.sorts == 0)
    }
  }

  // MARK: Ten thousand

  /// Programs are made and let go of without recursion.
  @Test(arguments: [1_000, 10_000])
  func deepProgramsOnASmallStack(_ steps: Int) throws {
    let example = AlgorithmExample.annealed("vsmc", "list", count: 4)
    let family = try AnnealedFamily(
      example.constants.merging(example.parameters) { $1 }, Self.plate, count: 4)
    try onSmallStack {
      let targets = Array(repeating: family.extended(1), count: steps)
      let kernels = Array(repeating: family.forward(1), count: steps - 1)
      _ = try vsmc(targets: targets, initial: family.firstProposal, proposals: kernels)
      _ = try nviRKL(targets: targets, forwards: kernels, reverses: kernels)
    }
  }

  /// A program that another one shares with it outlives it.
  @Test func sharedPartsOutliveADeepProgram() throws {
    try onSmallStack {
      let first = Self.plate(Kernel { (trace) in trace.sample("x", from: Normal(0, 1)) })
      var program = detach(first)
      for _ in 0..<5_000 { program = detach(program) }
      let half = program
      for _ in 0..<5_000 { program = detach(program) }
      let whole = try evaluate(program, seed: 1)().output.values.scalars
      program = first
      #expect(try evaluate(half, seed: 1)().output.values.scalars == whole)
      #expect(try evaluate(first, seed: 1)().output.values.scalars == whole)
    }
  }
}
