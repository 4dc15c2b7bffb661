import Coix
import Foundation
import Testing

/// Bernoulli distributions that take grey levels.
@Suite struct BernoulliFractionTests {
  private static let grey: [Float] = [0, 0.125, 0.5, 0.9, 1]

  /// v log p + (1 - v) log(1 - p).
  private func density(_ value: Float, _ p: Double) -> Double {
    Double(value) * log(p) + (1 - Double(value)) * log1p(-p)
  }

  @Test(arguments: [0.001, 0.3, 0.5, 0.98]) func densities(_ p: Double) {
    let values = Tensor(Self.grey)
    let logit = Tensor(Float(log(p / (1 - p))))
    for coin in [Bernoulli(probabilities: Float(p)), Bernoulli(logits: logit)] {
      let found = coin.takingFractions.logProb(of: values).scalars
      for (value, found) in zip(Self.grey, found) {
        let expected = density(value, p)
        #expect(abs(Double(found) - expected) <= 1e-6 * (1 + abs(expected)))
      }
      // At 0 and 1 they are those of the plain distribution, and so are the draws.
      #expect([found[0], found[4]] == coin.logProb(of: [0, 1]).scalars)
      #expect(coin.logProb(of: values).scalars[1...3].allSatisfy { $0 == -.infinity })
      let draws = coin.expanded(to: [50]).sample(3).scalars
      #expect(coin.takingFractions.expanded(to: [50]).sample(3).scalars == draws)
    }
  }

  @Test func outsideOfTheSupport() {
    for coin in [Bernoulli(probabilities: 0.3), Bernoulli(logits: -0.8)] {
      let found = coin.takingFractions.logProb(of: [-0.001, 1.001, .nan, .infinity]).scalars
      #expect(found.allSatisfy { $0 == -.infinity })
    }
  }

  /// Certain events: a fraction of 0 counts for nothing.
  @Test func extremes() {
    let certain = Bernoulli(logits: [.infinity, .infinity, -.infinity, -.infinity]).takingFractions
    #expect(certain.logProb(of: [1, 0.5, 0, 0.5]).scalars == [0, -.infinity, 0, -.infinity])
    let clamped = Bernoulli(probabilities: [0, 1]).takingFractions.logProb(of: [0, 1]).scalars
    #expect(clamped.allSatisfy { abs($0) < 1e-6 })
  }

  @Test func gradients() throws {
    let values = Tensor(Self.grey)
    let p: Float = 0.3
    let byProbability = try valueWithGradient(at: Tensor(repeating: p, shape: [5])) {
      Bernoulli(probabilities: $0).takingFractions.logProb(of: values).sum()
    }.gradient.scalars
    let byLogit = try valueWithGradient(at: Tensor(repeating: log(p / (1 - p)), shape: [5])) {
      Bernoulli(logits: $0).takingFractions.logProb(of: values).sum()
    }.gradient.scalars
    for (index, value) in Self.grey.enumerated() {
      #expect(abs(byProbability[index] - (value - p) / (p * (1 - p))) < 1e-5)
      #expect(abs(byLogit[index] - (value - p)) < 1e-6)
    }
  }

  /// Through events, masks and detached parameters.
  @Test func wrappers() throws {
    let observed = Model { trace in
      trace.observe(
        "x", [0.5, 0.5], from: detached(Bernoulli(probabilities: [0.5, 0.25]).takingFractions.event(1)))
    }
    let found = try evaluate(observed, seed: 0)().metrics.logWeight.scalar
    #expect(abs(Double(found) - density(0.5, 0.5) - density(0.5, 0.25)) < 1e-6)
  }

  private func detached<D: Distribution>(_ distribution: D) -> D { distribution.mapParameters(\.detached) }
}
