import Coix
import Foundation
import Testing

/// Proper weighting, by statistics: E[w f(z)] = Z E[f(z) | x] for each program that combinators make.
///
/// Each instance of an inner plate is an independent run with S = 6 particles, and gives one number, (1/S) Σ
/// w f(z) / Z. (Resampling to another number of particles preserves the sum of the weights: S is the number
/// before it.) Their mean is compared with the exact one by a z-score, with their own standard deviation. The
/// seeds are fixed; with new ones a comparison fails with probability 6e-7 (|z| > 5), the suite of 60 or so
/// with 4e-5.
@Suite struct ProperWeightingTests {
  static let particles = Plate("particle", count: 6)
  static let runs = 20_000
  static let instances = Plate("instance", count: runs)
  static let data = instances.mapped(
    Tensor((0..<runs).flatMap { _ in [Float(0.9), -0.4] }, shape: [runs, 2]))

  /// The model's exact answers: (z, y) given x1 and x2 are jointly normal.
  struct Exact {
    let logEvidence: Double
    let z: (mean: Double, variance: Double)
    let y: (mean: Double, variance: Double)

    /// For one step: z and x1 only.
    static let firstStep: (logEvidence: Double, mean: Double, variance: Double) = {
      let (m, s, x) = (Double(Float(0.1)), Double(Float(0.7)), Double(Float(0.9)))
      let gain = 1 / (1 + s * s)
      return (normalLogDensity(x, m, (1 + s * s).squareRoot()), m + gain * (x - m), 1 - gain)
    }()

    /// For both steps.
    static let both: Exact = {
      let (m, b, s) = (Double(Float(0.1)), Double(Float(0.6)), Double(Float(0.7)))
      let residuals = [Double(Float(0.9)) - m, Double(Float(-0.4)) - b * m]
      // The covariance of (x1, x2), and its inverse.
      let (c11, c12, c22) = (1 + s * s, b, b * b + 1 + s * s)
      let determinant = c11 * c22 - c12 * c12
      let inverse = [[c22 / determinant, -c12 / determinant], [-c12 / determinant, c11 / determinant]]
      func quadratic(_ u: [Double], _ v: [Double]) -> Double {
        let rows = inverse.map { row in row[0] * v[0] + row[1] * v[1] }
        return u[0] * rows[0] + u[1] * rows[1]
      }
      let (zWithX, yWithX) = ([1, b], [b, b * b + 1])
      return Exact(
        logEvidence: -0.5 * (quadratic(residuals, residuals) + log(determinant)) - logTwoPi,
        z: (m + quadratic(zWithX, residuals), 1 - quadratic(zWithX, zWithX)),
        y: (b * m + quadratic(yWithX, residuals), b * b + 1 - quadratic(yWithX, yWithX)))
    }()
  }

  /// The functions whose expectations are compared, with those under Normal(mean, variance).
  static func functions(
    _ mean: Double, _ variance: Double
  ) -> [(name: String, function: @Sendable (Double) -> Double, expectation: Double)] {
    [
      ("1", { _ in 1 }, 1), ("z", { $0 }, mean), ("z²", { $0 * $0 }, mean * mean + variance),
      ("z > mean", { $0 > mean ? 1 : 0 }, 0.5), ("sin z", { sin($0) }, sin(mean) * exp(-variance / 2)),
    ]
  }

  /// How far each function's estimate is from its exact value, in standard deviations.
  private func scores(
    _ result: Evaluation<some TensorTree>, _ values: Tensor?, _ logEvidence: Double, _ mean: Double,
    _ variance: Double
  ) throws -> [(name: String, score: Double)] {
    let values = try required(values).scalars.map(Double.init)
    let weights = result.metrics.logWeight.scalars.map { exp(Double($0) - logEvidence) }
    try #require(values.count == weights.count && weights.count % Self.runs == 0)
    let particles = weights.count / Self.runs
    return Self.functions(mean, variance).map { name, function, expectation in
      var (sum, squares) = (0.0, 0.0)
      for run in 0..<Self.runs {
        var estimate = 0.0
        for particle in 0..<particles {
          let row = particle * Self.runs + run
          estimate += weights[row] * function(values[row])
        }
        estimate /= Double(Self.particles.count)
        sum += estimate
        squares += estimate * estimate
      }
      let average = sum / Double(Self.runs)
      let deviation = ((squares / Double(Self.runs) - average * average) / Double(Self.runs)).squareRoot()
      return (name, (average - expectation) / deviation)
    }
  }

  private func expectProper(
    _ result: Evaluation<some TensorTree>, _ values: Tensor?, _ logEvidence: Double, _ mean: Double,
    _ variance: Double,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    for (name, score) in try scores(result, values, logEvidence, mean, variance) {
      #expect(score.magnitude < 5, "\(name): z-score \(score)", sourceLocation: sourceLocation)
    }
  }

  private func plated<Program: TargetProgram>(_ program: Program) -> Program.SameLevel {
    Self.particles(Self.instances(program))
  }

  private var firstStep: Inference<Tuple<Tensor>, Tuple<Tensor, Tensor>> {
    propose(plated(ChainParameters().model), plated(ChainParameters().proposal))
  }

  private func expectFirstStepProper(
    _ program: some InferenceProgram<Tuple<Tensor>, some TensorTree>, seed: PRNGKey,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let result = try evaluate(program, seed: seed)(Self.data)
    let exact = Exact.firstStep
    try expectProper(
      result, result.trace["z"]?.value, exact.logEvidence, exact.mean, exact.variance,
      sourceLocation: sourceLocation)
  }

  @Test func observing() throws { try expectFirstStepProper(plated(ChainParameters().model), seed: 1) }
  @Test func proposing() throws { try expectFirstStepProper(firstStep, seed: 2) }
  @Test func resamplingToAsMany() throws { try expectFirstStepProper(resample(firstStep), seed: 3) }
  @Test func resamplingToFewer() throws { try expectFirstStepProper(resample(firstStep, count: 2), seed: 4) }
  @Test func resamplingToMore() throws { try expectFirstStepProper(resample(firstStep, count: 9), seed: 5) }
  @Test func resamplingToOne() throws { try expectFirstStepProper(resample(firstStep, count: .one), seed: 6) }
  @Test func composing() throws {
    try expectFirstStepProper(compose(plated(ChainParameters().kernel), firstStep), seed: 7)
  }

  /// Two steps, with and without a resampling between them.
  @Test(arguments: [false, true])
  func twoSteps(_ resamples: Bool) throws {
    let p = ChainParameters()
    let target = plated(compose(p.continuation, p.model, suffix: false))
    let proposal = compose(plated(p.kernel), resamples ? resample(firstStep) : firstStep)
    let result = try evaluate(propose(target, proposal), seed: 8)(Self.data)
    let exact = Exact.both
    try expectProper(result, result.trace["z"]?.value, exact.logEvidence, exact.z.mean, exact.z.variance)
    try expectProper(result, result.trace["y"]?.value, exact.logEvidence, exact.y.mean, exact.y.variance)
    #expect(result.output.values.scalars == result.trace["y"]?.value.scalars)
  }

  /// What a loop's round observes around the program so far counts, also where another round or a resampling
  /// follows.
  @Test(arguments: [0, 1, 2])
  func roundsThatObserve(_ followers: Int) throws {
    let p = ChainParameters()
    let next = plated(
      Model { (trace, z: Tensor, x: Tensor) in
        let y = trace.sample("y", from: Normal(p.targetSlope * z, 1))
        trace.observe("x2", x[1], from: Normal(y, 0.7))
        return (y, x)
      })
    let loop = foriLoop(0..<1 + followers, initial: firstStep) { round, q in
      switch round {
      case 0: compose(next, q, suffix: false)
      case 1: q
      default: resample(q)
      }
    }
    let result = try evaluate(loop, seed: PRNGKey(seed: 9 + followers))(Self.data)
    let exact = Exact.both
    try expectProper(result, result.trace["z"]?.value, exact.logEvidence, exact.z.mean, exact.z.variance)
    try expectProper(result, result.trace["y"]?.value, exact.logEvidence, exact.y.mean, exact.y.variance)
    // Evidence and effective sample size are those of these weights.
    let logZ = try logEvidence(result.metrics.logWeight).sum().scalar
    if followers < 2 { #expect(abs(try result.metrics.logZ.scalar - logZ) < 1e-4 * abs(logZ)) }
    let ess = try effectiveSampleSize(result.metrics.logWeight).mean().scalar
    #expect(abs(try result.metrics.ess.scalar - ess) < 1e-4)
  }

  /// The estimate of the evidence by many particles of one run: w̄ / Z - 1 against its own standard
  /// deviation.
  @Test(arguments: [1, 2, 3])
  func evidence(_ seed: Int) throws {
    let normal = ConjugateNormal()
    let plate = Plate("particle", count: 200_000)
    let inference = propose(plate(normal.model), plate(ConjugateNormal.proposal(0.7, 0.8)))
    let metrics = try evaluate(
      inference, seed: PRNGKey(seed: seed), options: EvaluationOptions(keep: .metrics))().metrics
    let weights = metrics.logWeight.scalars.map { exp(Double($0) - normal.logEvidence) }
    let mean = weights.reduce(0, +) / 200_000
    let variance = weights.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 200_000
    let score =
      (exp(Double(try metrics.logZ.scalar) - normal.logEvidence) - 1)
      / (variance / 200_000).squareRoot()
    #expect(score.magnitude < 5, "z-score \(score)")
    // The effective sample size says the same of the weights: n / (1 + variance / mean²).
    let ess = Double(try metrics.ess.scalar)
    #expect((ess * (1 + variance / (mean * mean)) / 200_000 - 1).magnitude < 1e-4)
  }

  /// The statistics themselves see a wrong weight.
  @Test func aWrongWeightIsFound() throws {
    let p = ChainParameters()
    let wrong = Model { (trace, x: Tensor) in
      let z = trace.sample("z", from: Normal(p.modelMean, 1))
      trace.observe("x1", x[0], from: Normal(z, 0.75))
      return (z, x)
    }
    let result = try evaluate(propose(plated(wrong), plated(p.proposal)), seed: 2)(Self.data)
    let exact = Exact.firstStep
    let scores = try scores(
      result, result.trace["z"]?.value, exact.logEvidence, exact.mean, exact.variance)
    #expect(scores.contains { $0.score.magnitude > 10 }, "\(scores)")
  }
}
