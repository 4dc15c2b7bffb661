import Coix
import Foundation
import TestSupport
import Testing

/// Optimisers and schedules against the numbers of optax (`Tests/References/optimisers.py`).
@Suite struct OptaxTests {
  typealias Tree = [String: Tensor]

  private struct File: Decodable {
    typealias Numbers = [String: [Float]]
    let shapes: [String: [Int]]
    let start: Numbers
    let gradients: [Numbers]
    let trajectories: [String: [Numbers]]
    let counts: [Int]
    let schedules: [String: [Float]]

    func tree(_ numbers: Numbers) -> Tree {
      Tree(uniqueKeysWithValues: numbers.map { ($0, Tensor($1, shape: Shape(shapes[$0] ?? []))) })
    }
  }

  private static func file() throws -> File {
    let folder = try #require(Bundle.module.resourceURL)
    return try JSONDecoder().decode(
      File.self, from: Data(contentsOf: folder.appending(path: "Golden/optimisers.json")))
  }

  static let schedules: [String: Schedule] = [
    "constant": 0.05,
    "linear": .linear(from: 0, to: 0.05, steps: 10),
    "linear down": .linear(from: 0.3, to: 0.1, steps: 20),
    "cosine decay": .cosineDecay(from: 0.05, steps: 100),
    "cosine decay to a tenth": .cosineDecay(from: 0.05, steps: 20, alpha: 0.1),
    "exponential decay": .exponentialDecay(from: 0.05, by: 0.7, every: 10),
    "exponential decay in stairs": .exponentialDecay(from: 0.05, by: 0.5, every: 3, staircase: true),
    "exponential decay to a bound": .exponentialDecay(from: 0.05, by: 0.5, every: 10, to: 0.01),
    "exponential growth to a bound": .exponentialDecay(from: 0.05, by: 1.5, every: 10, to: 0.1),
    "piecewise constant": .piecewiseConstant(from: 0.05, scaledBy: [100: 2, 3: 0.5, 10: 0.1]),
    "warmup cosine decay": .warmupCosineDecay(from: 0.001, peak: 0.05, warmup: 3, steps: 20, to: 0.002),
    "joined": .linear(from: 0, to: 0.05, steps: 3).followed(by: 0.05, from: 3)
      .followed(by: .exponentialDecay(from: 0.05, by: 0.7, every: 10), from: 10),
  ]

  /// The rules, for parameters of a structure, by a schedule.
  static let rules: [String: @Sendable (Tree, Schedule) -> any Optimizer<Tree>] = [
    "sgd": { _, rate in SGD(learningRate: rate) },
    "sgd momentum": { SGD(for: $0, learningRate: $1, momentum: 0.9) },
    "sgd nesterov": { SGD(for: $0, learningRate: $1, momentum: 0.9, nesterov: true) },
    "adam": { Adam(for: $0, learningRate: $1) },
    "adam settings": { Adam(for: $0, learningRate: $1, beta1: 0.5, beta2: 0.75, epsilon: 0.125) },
    "adamw": { AdamW(for: $0, learningRate: $1, weightDecay: 0.1) },
    "adamw settings": {
      AdamW(for: $0, learningRate: $1, beta1: 0.5, beta2: 0.75, epsilon: 0.125, weightDecay: 0.5)
    },
    "rmsprop": { RMSProp(for: $0, learningRate: $1) },
    "rmsprop settings": {
      RMSProp(for: $0, learningRate: $1, decay: 0.75, epsilon: 0.125, initialScale: 1)
    },
    "rmsprop centered": { RMSProp(for: $0, learningRate: $1, epsilon: 1e-3, centered: true) },
    "rmsprop momentum": { RMSProp(for: $0, learningRate: $1, momentum: 0.9) },
    "rmsprop nesterov": {
      RMSProp(for: $0, learningRate: $1, epsilon: 1e-3, centered: true, momentum: 0.9, nesterov: true)
    },
    "sgd momentum clipped": {
      SGD(for: $0, learningRate: $1, momentum: 0.9).clipped(toGlobalNorm: 10)
    },
    "adam clipped": { Adam(for: $0, learningRate: $1).clipped(toGlobalNorm: 10) },
    "rmsprop clipped": { RMSProp(for: $0, learningRate: $1).clipped(toGlobalNorm: 10) },
  ]

  /// Parameters after each of eight steps, within four ulps of 1 + |p|: each step rounds once where it is added to the
  /// parameter, and is itself off by some ulps, of a size at most that of the parameters, since products and quotients
  /// are taken in another order than by XLA.
  @Test func trajectories() throws {
    let file = try Self.file()
    for (name, expected) in file.trajectories.sorted(by: { $0.key < $1.key }) {
      let parts = name.components(separatedBy: " with ")
      let make = try #require(Self.rules[parts[0]], "\(name)")
      let rate = try #require(Self.schedules[parts.count > 1 ? parts[1] : "constant"], "\(name)")
      func check<Rule: Optimizer<Tree>>(_ rule: Rule) throws -> Double {
        var (rule, parameters) = (rule, file.tree(file.start))
        var worst = 0.0
        for (gradient, expected) in zip(file.gradients, expected) {
          #expect(try rule.update(&parameters, along: file.tree(gradient)))
          for (name, numbers) in expected {
            worst = max(worst, distance(try #require(parameters[name]).scalars, numbers.map(Double.init)))
          }
        }
        #expect(rule.stepCount == file.gradients.count && rule.skippedCount == 0)
        return worst
      }
      let worst = try check(make(file.tree(file.start), rate))
      #expect(worst <= 4 * Double(Float.ulpOfOne), "\(name)")
    }
    #expect(
      Set(file.trajectories.keys.map { $0.components(separatedBy: " with ")[0] }) == Set(Self.rules.keys))
  }

  /// Rates after so many steps, within four ulps of the greatest one: each is the result of a few operations, whose
  /// intermediate results are no greater.
  @Test func rates() throws {
    let file = try Self.file()
    #expect(Set(file.schedules.keys) == Set(Self.schedules.keys))
    for (name, expected) in file.schedules.sorted(by: { $0.key < $1.key }) {
      let schedule = try #require(Self.schedules[name])
      let greatest = expected.max() ?? 0
      for (count, expected) in zip(file.counts, expected) {
        let found = schedule(Tensor(Float(count))).scalar
        #expect(
          (found - expected).magnitude <= 4 * greatest.ulp, "\(name) at \(count): \(found), \(expected)")
      }
    }
  }
}
