import Coix
import Foundation
import Testing

/// Algorithms whose kernels are deterministic, against exact evidence: E[Ẑ] = Z where `Delta` sites have the
/// log-density of what they take the place of.
///
/// Each of 20,000 instances is an independent run with four particles. |z| < 5 fails with probability 6e-7
/// under other seeds.
@Suite struct AlgorithmEvidenceTests {
  static let steps = 3
  static let particles = Plate("particle", count: 4)
  static let instances = Plate("instance", count: 20_000)
  /// x ~ Normal(0, 1), y = 1.2 ~ Normal(x, 0.6).
  static let logEvidence = normalLogDensity(1.2, 0, (1 + 0.36).squareRoot())

  /// The target of a step: the likelihood to the power step / (steps - 1).
  static func target(_ step: Int) -> Target<Tuple<>, Tuple<Tensor>> {
    let power = Float(step) / Float(steps - 1)
    return particles(
      instances(
        Target(
          Model { trace in
            let x = trace.sample("x", from: Normal(0, 1))
            trace.factor("likelihood", Normal(x, 0.6).logProb(of: 1.2) * power)
            return x
          })))
  }

  /// The z-score of the mean of Ẑ / Z over instances.
  static func score(_ program: some InferenceProgram<Tuple<>, some TensorTree>, _ seed: PRNGKey) throws
    -> Double
  {
    let logWeights = try evaluate(program, seed: seed)().metrics.logWeight
    let ratios = try Coix.logEvidence(logWeights).scalars.map { exp(Double($0) - logEvidence) }
    let mean = ratios.reduce(0, +) / Double(ratios.count)
    let variance = ratios.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(ratios.count)
    return (mean - 1) / (variance / Double(ratios.count)).squareRoot()
  }

  /// x ↦ 0.8 x + 0.5, with or without the density of the variable that it moves.
  static func flow(_ isWeighed: Bool) -> Kernel<Tuple<Tensor>, Tuple<Tensor>> {
    particles(
      instances(
        Kernel { (trace, x: Tensor) in
          let density = isWeighed ? Normal(0, 1).logProb(of: x) : 0
          return trace.sample("x", from: Delta(0.8 * x + 0.5, logDensity: density - log(Tensor(0.8))))
        }))
  }

  @Test(arguments: ["list", "loop"])
  func annealedFlowTransport(_ form: String) throws {
    func program(_ isWeighed: Bool) throws -> Inference<Tuple<>, Tuple<Tensor>> {
      let flow = Self.flow(isWeighed)
      return form == "list"
        ? try aft(
          targets: (0..<Self.steps).map(Self.target), flows: Array(repeating: flow, count: Self.steps - 1))
        : try aft(count: Self.steps, target: { Self.target($0) }, flow: { _ in flow })
    }
    let score = try Self.score(program(true), 1)
    #expect(score.magnitude < 5, "z-score \(score)")
    #expect(try Self.score(program(false), 1).magnitude > 50)
  }

  @Test(arguments: ["list", "loop"])
  func differentiableAnnealedImportanceSampling(_ form: String) throws {
    func plated<I, O>(_ kernel: Kernel<I, O>) -> Kernel<I, O> { Self.particles(Self.instances(kernel)) }
    let momentum = plated(
      Kernel { (trace, x: Tensor) in (x, trace.sample("v", from: Normal(0, 1))) })
    let refreshment = plated(
      Kernel { (trace, x: Tensor, v: Tensor) in (x, trace.sample("v", from: Normal(0.6 * v, 0.8))) })
    let leapfrog = plated(
      Kernel { (trace, x: Tensor, v: Tensor) in
        // Towards the posterior, whose log-density has the slope (1.2 - x) / 0.36 - x.
        func slope(_ x: Tensor) -> Tensor { (1.2 - x) / 0.36 - x }
        let half = v + 0.1 * slope(x)
        let newX = x + 0.2 * half
        let newV = half + 0.1 * slope(newX)
        return (
          trace.sample("x", from: Delta(newX, logDensity: Normal(0, 1).logProb(of: x))),
          trace.sample("v", from: Delta(newV, logDensity: Normal(0, 1).logProb(of: v)))
        )
      })
    let program =
      form == "list"
      ? try dais(
        targets: (0..<Self.steps).map(Self.target), momentum: momentum, leapfrog: leapfrog,
        refreshment: refreshment)
      : try dais(
        count: Self.steps, target: { Self.target($0) }, momentum: momentum, leapfrog: leapfrog,
        refreshment: refreshment)
    let score = try Self.score(program, 2)
    #expect(score.magnitude < 5, "z-score \(score)")
  }
}
