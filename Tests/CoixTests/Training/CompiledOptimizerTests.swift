import Coix
import Testing

/// Recorded steps of every optimiser by every schedule: the bits of the steps themselves, recorded once.
@Suite struct CompiledOptimizerTests {
  private typealias Tree = OptaxTests.Tree

  private static let start: Tree = [
    "bias": [0.5, -1], "long": Draw(key: 1, shape: [37]).normal(), "scale": 2,
    "weights": Draw(key: 2, shape: [3, 5]).normal(),
  ]

  private static func loss(_ parameters: Tree, _ data: Tensor) -> Tensor {
    parameters.sorted { $0.key < $1.key }.reduce(Tensor(0)) { $0 + ($1.value * data - 3).squared.sum() }
  }

  private func bits(_ tree: some TensorTree) -> [UInt32] {
    tree.namedTensors.flatMap { $0.tensor.scalars.map(\.bitPattern) }
  }

  /// Trains by recorded steps and by the steps themselves; data that are not finite make a step that is skipped.
  private func check<Rule: Optimizer<OptaxTests.Tree>>(_ rule: Rule, _ data: [Float], _ name: String) throws {
    var (parameters, optimizer) = (Self.start, rule)
    let runs = Counter()
    let training = CompiledTraining(Self.start, by: rule) { (parameters: OptaxTests.Tree, data: Tensor, _) in
      runs.add(1)
      return Self.loss(parameters, data)
    }
    for data in data.map({ Tensor($0) }) {
      let own = try valueWithGradient(at: parameters) { Self.loss($0, data) }
      try optimizer.update(&parameters, along: own.gradient)
      let value = try training.step(data, key: 0)
      #expect(value.bitPattern == own.value.bitPattern || (value.isNaN && own.value.isNaN), "\(name)")
    }
    let trained = try training.optimizer
    #expect(try bits(training.parameters) == bits(parameters), "\(name)")
    #expect(bits(trained) == bits(optimizer), "\(name)")
    #expect(trained.stepCount == optimizer.stepCount && trained.skippedCount == optimizer.skippedCount)
    #expect(trained.lastSkippedStep == optimizer.lastSkippedStep)
    let skipped = data.count { !$0.isFinite }
    #expect(trained.skippedCount == skipped && runs.value == 1 + skipped, "\(name)")
  }

  @Test(arguments: OptaxTests.rules.keys.sorted())
  func everyScheduleWithoutRecordingAnew(_ name: String) throws {
    let make = try #require(OptaxTests.rules[name])
    for (schedule, rate) in OptaxTests.schedules {
      try check(make(Self.start, rate), [1, 0.5, 2, 1.5, 1, 0.25, -1, 1], "\(name), \(schedule)")
    }
  }

  @Test(arguments: OptaxTests.rules.keys.sorted())
  func skippedSteps(_ name: String) throws {
    let make = try #require(OptaxTests.rules[name])
    for schedule in ["constant", "warmup cosine decay"] {
      let rate = try #require(OptaxTests.schedules[schedule])
      try check(make(Self.start, rate), [1, .nan, 2, .infinity, 1, 1], "\(name), \(schedule)")
    }
  }
}
