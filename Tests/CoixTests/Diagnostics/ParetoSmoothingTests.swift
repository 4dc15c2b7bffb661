import Coix
import Foundation
import Testing

/// Pareto-smoothed importance sampling.
@Suite struct ParetoSmoothingTests {
  /// Log-weights that a formula gives, and what ArviZ 0.23.4 says of them: `az.psislw(logWeights,
  /// normalize=False)`.
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let count: Int
    let k: Double
    /// logsumexp of the smoothed log-weights.
    let logSum: Double
    /// The smoothed log-weight of the heaviest particle.
    let largest: Double
    let logWeight: @Sendable (_ index: Double, _ level: Double) -> Double

    var testDescription: String { "\(name), \(count)" }

    var logWeights: [Float] {
      (0..<count).map { index in
        Float(logWeight(Double(index), (Double(index * 7_919 % count) + 0.5) / Double(count)))
      }
    }
  }

  static func pareto(_ k: Double) -> @Sendable (Double, Double) -> Double { { -k * log1p(-$1) } }

  static let cases: [Case] = [
    Case(
      name: "Pareto of k 0.2", count: 1_000, k: 0.23678780170913474, logSum: 7.13127108673511,
      largest: 1.5201804637908936, logWeight: pareto(0.2)),
    Case(
      name: "Pareto of k 0.5", count: 1_000, k: 0.4970858990220464, logSum: 7.5906245448122185,
      largest: 3.793128300692468, logWeight: pareto(0.5)),
    Case(
      name: "Pareto of k 0.7", count: 200, k: 0.6414533875466436, logSum: 6.358972492333708,
      largest: 4.038607940317829, logWeight: pareto(0.7)),
    Case(
      name: "Pareto of k 1", count: 5_000, k: 0.9674316738684536, logSum: 10.812464353895608,
      largest: 9.055833322382089, logWeight: pareto(1)),
    Case(
      name: "waves", count: 1_000, k: -0.8193034094952375, logSum: 9.286092077054992,
      largest: 3.9941608905792236, logWeight: { index, _ in 4 * sin(index * index) - 0.0001 * index }),
    Case(
      name: "a short tail", count: 400, k: -0.6991475305078231, logSum: 6.533793669577255,
      largest: 0.9987499713897705, logWeight: { $1 }),
    Case(
      name: "a third without weight", count: 1_000, k: 0.6125106508799547, logSum: 7.760925385820026,
      largest: 4.523993968963623,
      logWeight: { $0.truncatingRemainder(dividingBy: 3) == 0 ? -.infinity : -0.8 * log1p(-$1) }),
    Case(
      name: "few", count: 30, k: 0.4402058110473826, logSum: 4.038358369170355,
      largest: 2.0471723079681396, logWeight: pareto(0.5)),
    Case(
      name: "fewer", count: 24, k: 0.5022472748581347, logSum: 3.7939308015426354,
      largest: 1.912878920747377, logWeight: pareto(0.5)),
  ]

  @Test(arguments: cases)
  func asArviZ(_ expected: Case) throws {
    let logWeights = expected.logWeights
    // Any constant may be added to log-weights.
    for shift: Float in [0, 64] {
      let tensor = Tensor(logWeights.map { $0 + shift })
      let k = try paretoK(tensor)
      #expect(k.shape == .scalar)
      #expect(abs(Double(k.scalar) - expected.k) < (shift == 0 ? 1e-6 : 1e-3))
    }
    let smoothed = try paretoSmoothed(Tensor(logWeights)).scalars.map(Double.init)
    #expect(abs(log(smoothed.reduce(0) { $0 + exp($1) }) - expected.logSum) < 1e-6)
    let heaviest = try #require(logWeights.indices.max { logWeights[$0] < logWeights[$1] })
    #expect(abs(smoothed[heaviest] - expected.largest) < 1e-6)
  }

  /// Each instance is looked at by itself.
  @Test func instances() throws {
    let columns = Self.cases.filter { $0.count == 1_000 }
    let weights = columns.map(\.logWeights)
    let tensor = Tensor((0..<1_000).flatMap { row in weights.map { $0[row] } }, shape: [1_000, 2, 2])
    let k = try paretoK(tensor)
    #expect(k.shape == [2, 2])
    #expect(zip(k.scalars, columns).allSatisfy { abs(Double($0) - $1.k) < 1e-6 })
    let smoothed = try paretoSmoothed(tensor)
    #expect(smoothed.shape == tensor.shape)
    for (column, logWeights) in weights.enumerated() {
      let alone = try paretoSmoothed(Tensor(logWeights)).scalars
      #expect(alone == stride(from: column, to: 4_000, by: 4).map { smoothed.scalars[$0] })
    }
  }

  /// Weights u^(-k) of uniform u have tail index 1 / k, and exceedances that are generalised Pareto with just
  /// this k.
  ///
  /// The estimate's standard deviation is about (1 + k) / √M for the tail's M particles; it is shrunk towards
  /// 1/2 with the weight of ten. |z| > 5 has probability 6e-7.
  @Test(arguments: [0.1, 0.3, 0.5, 0.7, 1, 1.5])
  func knownTailIndex(_ k: Double) throws {
    let count = 100_000
    let uniform = Draw(key: 11, shape: [count]).uniform().scalars
    let estimate = Double(try paretoK(Tensor(uniform.map { Float(-k * log(Double($0) + 1e-12)) })).scalar)
    let tail = (3 * Double(count).squareRoot()).rounded(.up)
    let expected = (tail * k + 5) / (tail + 10)
    #expect(abs(estimate - expected) < 5 * (1 + k) / tail.squareRoot(), "k-hat \(estimate)")
  }

  /// A proposal that is too narrow by s² has weights with k = 1 - s²; one that is wide enough bounded ones.
  @Test func proposals() throws {
    func k(_ scale: Tensor) throws -> Float {
      let plate = Plate("particle", count: 50_000)
      let target = Kernel { (trace) in trace.sample("z", from: Normal(0, 1)) }
      let inference = propose(plate(target), plate(ConjugateNormal.proposal(0, scale)))
      return try paretoK(evaluate(inference, seed: 3)().metrics.logWeight).scalar
    }
    #expect(try k(2) < 0.2)
    #expect(try k(0.5) > 0.6)
  }

  @Test func weightsWithoutATail() throws {
    #expect(try paretoK(Tensor.zeros([1_000])).scalar == .infinity)
    #expect(try paretoK(Tensor((0..<20).map { Float($0) })).scalar == .infinity)
    for count in [1, 2, 4, 5] { #expect(try paretoK(Tensor.ones([count])).scalar == .infinity) }
    let one = Tensor([0] + [Float](repeating: -.infinity, count: 999))
    #expect(try paretoK(one).scalar == .infinity)
    #expect(try paretoSmoothed(one).scalars == one.scalars)
    // So far apart that exponentials vanish: a number or infinity, and no crash.
    for spread: Float in [1e2, 1e4, 1e30] {
      let k = try paretoK(Tensor((0..<100).map { Float($0) * spread })).scalar
      #expect(!k.isNaN)
      #expect(
        try paretoSmoothed(Tensor((0..<100).map { Float($0) * spread })).scalars.allSatisfy { !$0.isNaN })
    }
  }

  @Test func weightsThatAreNone() throws {
    #expect(
      message { try paretoK(Tensor([Float](repeating: -.infinity, count: 30))) }
        == "weights: the log-weights of all particles are -inf (instance 0)")
    #expect(throws: CoixError.self) { try paretoK(Tensor([1, .nan, 2])) }
    #expect(throws: CoixError.self) { try paretoSmoothed(Tensor([1, .infinity, 2])) }
    #expect(
      message { try paretoK(1) }
        == "log-weights need particles on their first axis; their shape is [], that of a single run: evaluate the "
        + "program in a plate, Plate(\"particle\", count: 1_000)(program), say")
    #expect(throws: CoixError.self) { try paretoK(Tensor.zeros([0])) }
    #expect(try paretoK(Tensor.zeros([3, 0])).shape == [0])
  }
}
