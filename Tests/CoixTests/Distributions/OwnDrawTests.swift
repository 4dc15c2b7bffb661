import Coix
import Foundation
import Testing

/// A distribution's own draws have a finite log-density, whoever scores them, and gradients that are numbers:
/// at the ends of what floats can hold.
@Suite struct OwnDrawTests {
  static let plate = Plate("particle", count: 1_000, chunkRows: 400)

  private func kernel(_ distribution: any Distribution) -> Kernel<Tuple<>, Tuple<Tensor>> {
    Kernel { (trace: KernelTrace) -> Tensor in trace.sample("x", from: distribution) }
  }

  /// How many of the numbers are none.
  private func infiniteCount(_ tensor: Tensor?) -> Int { tensor?.scalars.count { !$0.isFinite } ?? -1 }

  /// The site's log-density is finite, and as a proposal for itself a distribution has weight 1: log Z = 0.
  @Test(arguments: ExtremeDistribution.all)
  func proposesItself(_ test: ExtremeDistribution) throws {
    let program = Self.plate(kernel(test.distribution()))
    let result = try evaluate(propose(program, program), seed: 3)()
    let site = try #require(result.trace["x"])
    #expect(infiniteCount(site.logProb) == 0)
    #expect(infiniteCount(site.value) == 0)
    #expect(result.metrics.logWeight.scalars.allSatisfy { $0 == 0 })
    #expect(try result.metrics.logZ.scalar == 0)
    // Behind a barrier the target scores what was gathered.
    let resampled = try evaluate(propose(program, resample(program)), seed: 3)()
    #expect(resampled.metrics.logWeight.scalars.allSatisfy { abs($0) < 1e-6 })
    #expect(infiniteCount(resampled.trace["x"]?.logProb) == 0)
    // Given the values of a finished evaluation, a program scores them as they were.
    let again = try evaluate(program, latents: ["x": Self.plate.mapped(site.value)], seed: 4)()
    #expect(again.trace["x"]?.logProb.scalars == site.logProb.scalars)
  }

  /// The same outside of programs: a draw, and its log-density, of all of them at once.
  @Test(arguments: ExtremeDistribution.all)
  func scoresItsDraws(_ test: ExtremeDistribution) {
    func check(_ distribution: some Distribution) {
      let many = distribution.expanded(to: Shape([500]).appending(distribution.batchShape))
      let density = many.logProb(of: many.sample(5))
      #expect(density.failure == nil && infiniteCount(density) == 0)
      #expect(infiniteCount(distribution.logProb(of: distribution.sample(6))) == 0)
    }
    check(test.distribution())
  }

  /// Gradients by the parameters: through draw and score, of the score alone, and of a proposal for itself.
  @Test(arguments: ExtremeDistribution.all)
  func gradientsAreNumbers(_ test: ExtremeDistribution) throws {
    func expectNumbers(_ name: String, _ gradient: [Tensor]) {
      let numbers = gradient.flatMap(\.scalars)
      #expect(numbers.count { $0.isNaN } == 0, "\(name): \(numbers)")
    }
    func check(_ name: String, _ score: ([Tensor]) throws -> Tensor) throws {
      expectNumbers(name, try valueWithGradient(at: test.parameters) { try score($0) }.gradient)
    }
    func total(_ distribution: some Distribution, isDetached: Bool) -> Tensor {
      let draw = distribution.expanded(to: Shape([200]).appending(distribution.batchShape)).sample(7)
      return distribution.logProb(of: isDetached ? draw.detached : draw).mean()
    }
    try check("draw and score") { total(test.distribution($0), isDetached: false) }
    try check("score") { total(test.distribution($0), isDetached: true) }
    try check("propose") { parameters in
      let program = Self.plate(kernel(test.distribution(parameters)))
      return try evaluate(propose(program, program, loss: .elbo), seed: 3)().metrics.loss
    }
    try check("propose, resampled") { parameters in
      let program = Self.plate(kernel(test.distribution(parameters)))
      return try evaluate(propose(program, resample(program), loss: .iwae), seed: 3)().metrics.loss
    }
  }

  // MARK: What a draw remembers

  /// Gradients through a draw and its score, by closed forms: log p(exp(m + s z)) = -z²/2 - log s - m - s z -
  /// const.
  @Test(arguments: [false, true])
  func gradientsOfDrawAndScore(_ isComposed: Bool) throws {
    let parameters: [Tensor] = [0.3, 1.7]
    func make(_ parameters: [Tensor]) -> any Distribution {
      isComposed
        ? Normal(0, 1).transformed(by: Affine(parameters[0], parameters[1]).then(Exp()))
        : Normal(parameters[0], parameters[1]).transformed(by: Exp())
    }
    func total(_ distribution: some Distribution, isDetached: Bool) -> Tensor {
      let draw = distribution.expanded(to: [100]).sample(7)
      return distribution.logProb(of: isDetached ? draw.detached : draw).sum()
    }
    let noise = Normal(0, 1).expanded(to: [100]).sample(7).scalars.map(Double.init)
    let (sum, squares) = (noise.reduce(0, +), noise.reduce(0) { $0 + $1 * $1 })
    // The draw moves with the parameters, or stays.
    let moving = [-100, -100 / 1.7 - sum]
    let still = [sum / 1.7, (squares - 100) / 1.7]
    for (isDetached, expected) in [(false, moving), (true, still)] {
      let gradient = try valueWithGradient(at: parameters) { total(make($0), isDetached: isDetached) }
        .gradient
      for (found, expected) in zip(gradient, expected) {
        #expect(abs(Double(found.scalar) - expected) < 1e-4 * (1 + abs(expected)), "\(isDetached)")
      }
    }
    // The same behind a barrier, where the target has parameters of its own.
    let plate = Plate("particle", count: 100, chunkRows: 32)
    func logDensity(_ parameters: [Tensor], _ target: [Tensor]) throws -> Tensor {
      let programs = [target, parameters].map { plate(kernel(make($0))) }
      let result = try evaluate(propose(programs[0], resample(programs[1])), seed: 3)()
      return try #require(result.trace["x"]?.logProb).sum()
    }
    let drawn = try evaluate(resample(plate(kernel(Normal(0, 1)))), seed: 3)()
    let drawnNoise = try #require(drawn.trace["x"]?.value).scalars.map(Double.init)
    #expect(drawnNoise.count == 100)
    let behind = try valueWithGradient(at: parameters) { try logDensity($0, $0) }.gradient
    #expect(abs(Double(behind[0].scalar) + 100) < 1e-2)
    let own = try valueWithGradient(at: parameters) { try logDensity($0, parameters) }.gradient
    let other = try valueWithGradient(at: parameters) { try logDensity(parameters, $0) }.gradient
    for (whole, parts) in zip(behind, zip(own, other)) {
      #expect(abs(whole.scalar - parts.0.scalar - parts.1.scalar) < 1e-3 * (1 + abs(whole.scalar)))
    }
  }

  /// A map of another type or with other parameters is inverted, as always.
  @Test func otherMapsInvert() {
    let draw = Normal(0, 1).expanded(to: [50]).transformed(by: Affine(1, 2).then(Exp())).sample(3)
    let plain = Tensor(draw.scalars)
    let others: [any Distribution] = [
      LogNormal(0, 1), Normal(0, 1).transformed(by: Softplus()), Gamma(2),
      Normal(0, 1).transformed(by: Affine(1, 2.5).then(Exp())),
      Normal(0, 1).transformed(by: Exp().then(Affine(0, 1.5))),
    ]
    for other in others {
      for (remembered, inverted) in zip(other.logProb(of: draw).scalars, other.logProb(of: plain).scalars) {
        #expect(abs(remembered - inverted) <= 2e-5 * (1 + abs(inverted)))
      }
    }
  }

  /// Reshaping, joining and detaching a draw keep its base; computing with it doesn't.
  @Test func whatKeepsTheBase() {
    let ordered = Normal(0, 10).expanded(to: [500, 4]).transformed(by: Ordered())
    let draw = ordered.sample(3)
    let density = ordered.logProb(of: draw).scalars
    #expect(ordered.logProb(of: Tensor(draw.scalars, shape: draw.shape)).scalars.contains(-.infinity))
    // Of a batch of 500 there are none of other shapes.
    let single = Normal(0, 10).expanded(to: [4]).transformed(by: Ordered())
    let reshaped = draw.reshaped(to: [5, 100, 4])
    #expect(single.logProb(of: reshaped).scalars == density)
    #expect(ordered.logProb(of: draw.detached).scalars == density)
    let joined = Tensor.concatenate([draw, draw], axis: 0)
    #expect(single.logProb(of: joined).scalars == density + density)
    #expect(ordered.logProb(of: draw + 1e30).scalars.contains(-.infinity))
  }

  /// Nested plates, a memory of earlier particles, and a finished evaluation handed on.
  @Test func longWays() throws {
    let ordered = Normal(0, 10).expanded(to: [4]).transformed(by: Ordered())
    let (particles, instances) = (Plate("particle", count: 60, chunkRows: 32), Plate("instance", count: 7))
    let nested = particles(instances(kernel(ordered)))
    let result = try evaluate(propose(nested, resample(nested)), seed: 3)()
    #expect(result.metrics.logWeight.scalars.allSatisfy { abs($0) < 1e-6 })
    #expect(infiniteCount(result.trace["x"]?.logProb) == 0)
    let once = try evaluate(propose(nested, nested), seed: 3)()
    let again: Inference<Tuple<>, Tuple<Tensor>> = empirical(once)
    let replayed = try evaluate(propose(nested, resample(again)), seed: 4)()
    #expect(infiniteCount(replayed.trace["x"]?.logProb) == 0)
  }
}
