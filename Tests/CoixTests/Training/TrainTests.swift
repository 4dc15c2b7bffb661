import Coix
import Foundation
import Testing

/// `train`: its keys and batches, what it reports, when it stops, and what it refuses.
@Suite struct TrainTests {
  typealias Tree = OptaxTests.Tree
  static let start: Tree = ["bias": [0.5, -1], "scale": 2, "weights": Draw(key: 2, shape: [3, 5]).normal()]
  static let data = Draw(key: 3, shape: [11]).normal()

  /// A loss that depends on the parameters, the rows of the data and the key.
  @Sendable static func loss(_ parameters: Tree, _ rows: Tensor, _ key: PRNGKey) throws -> Tensor {
    let noise = Draw(key: key, shape: []).normal()
    let scale = rows.sum() + noise
    return parameters.sorted { $0.key < $1.key }.reduce(Tensor(0)) {
      $0 + ($1.value * scale - 3).squared.sum()
    }
  }

  static func bits(_ tree: some TensorTree) -> [UInt32] {
    tree.namedTensors.flatMap { $0.tensor.scalars.map(\.bitPattern) }
  }

  private func message(_ body: () throws -> Void) -> String? {
    do {
      try body()
      return nil
    } catch { return "\(error)" }
  }

  @Test func stepsHaveTheReferencesKeysAndTheirBatches() throws {
    let batches = try Batches(of: Self.data, size: 4)
    var losses: [Float] = []
    let runs = Counter()
    let result = try train(
      Self.start, by: Adam(for: Self.start), on: batches, steps: 12, seed: 5,
      onStep: { losses.append($0.loss) },
      loss: { parameters, rows, key in
        runs.add(1)
        return try Self.loss(parameters, rows, key)
      })
    let key = PRNGKey(seed: 5)
    let reader = batches.reader(seed: key.folded(in: Int(UInt32.max)))
    var (parameters, adam, expected) = (Self.start, Adam(for: Self.start), [Float]())
    for step in 1...12 {
      let rows = try reader.batch(step - 1)
      let own = try valueWithGradient(at: parameters) { try Self.loss($0, rows, key.folded(in: step)) }
      try adam.update(&parameters, along: own.gradient)
      expected.append(own.value)
    }
    #expect(losses.map(\.bitPattern) == expected.map(\.bitPattern))
    #expect(Self.bits(result.parameters) == Self.bits(parameters))
    #expect(Self.bits(result.optimizer) == Self.bits(adam))
    #expect(result.step == 12 && result.end == .completed && result.optimizer.stepCount == 12)
    #expect(runs.value == 2, "one recording for whole batches and one for the short last one")
  }

  @Test func countingFromZero() throws {
    var options = TrainingOptions()
    options.firstStep = 0
    var steps: [Int] = []
    let result = try train(
      Tensor(0), by: SGD(learningRate: 1), steps: 3, seed: 1, options: options,
      onStep: { steps.append($0.step) }, loss: { x, key in x * Draw(key: key, shape: []).normal() })
    let key = PRNGKey(seed: 1)
    let sum = (0..<3).reduce(Tensor(0)) { $0 - Draw(key: key.folded(in: $1), shape: []).normal() }
    #expect(steps == [0, 1, 2] && result.step == 2)
    #expect(result.parameters.scalar == sum.scalar)
  }

  @Test func evaluationsAndReportsAndMetrics() throws {
    try withTemporaryFolder { folder in
      var options = TrainingOptions()
      options.metrics = "\(folder)/metrics.jsonl"
      (options.reportEvery, options.evaluateEvery) = (4, 3)
      let lines = Lines()
      options.reports = .lines { lines.add($0) }
      let batches = try Batches(of: Self.data, size: 4)
      var (steps, evaluated) = ([TrainingStep](), [[UInt32]]())
      let result = try train(
        Self.start, by: Adam(for: Self.start), on: batches, steps: 10, seed: 0, options: options,
        evaluate: { parameters in
          evaluated.append(Self.bits(parameters))
          return Float(evaluated.count)
        }, onStep: { steps.append($0) }, loss: Self.loss)
      #expect(steps.map(\.step) == Array(1...10))
      #expect(steps.map(\.epoch) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3])
      #expect(steps.map(\.evaluation) == [nil, nil, 2, nil, nil, 3, nil, nil, 4, 5])
      #expect(evaluated[0] == Self.bits(Self.start), "before the first step")
      #expect(evaluated[4] == Self.bits(result.parameters))
      #expect(steps[5].meanLoss == Float((Double(steps[4].loss) + Double(steps[5].loss)) / 2))
      let seconds = steps.map(\.seconds)
      #expect(seconds == seconds.sorted())

      struct Line: Decodable, Equatable {
        let step, epoch, skipped: Int
        let loss, meanLoss: Float
        let evaluation: Float?
        let seconds: Double
      }
      let text = try String(contentsOfFile: "\(folder)/metrics.jsonl", encoding: .utf8)
      let written = try text.split(separator: "\n").map {
        try JSONDecoder().decode(Line.self, from: Data($0.utf8))
      }
      #expect(written.map(\.step) == [3, 4, 6, 8, 9, 10])
      for line in written {
        let step = steps[line.step - 1]
        #expect(line.loss == step.loss && line.meanLoss == step.meanLoss && line.epoch == step.epoch)
        #expect(line.evaluation == step.evaluation && line.seconds == step.seconds && line.skipped == 0)
      }
      let reports = lines.all
      #expect(reports.count == 7 && reports[0] == "before the first step: evaluation 1.0")
      #expect(
        reports[1].hasPrefix("step  3 | loss ") && reports[1].contains(" | evaluation 2.0000 | epoch 0"))
      #expect(reports[6].hasPrefix("step 10 | loss ") && reports[6].hasSuffix(" a step"))
    }
  }

  @Test func stopsEarly() throws {
    var options = TrainingOptions()
    options.reportEvery = 1
    options.earlyStopping = EarlyStopping(patience: 2, improvement: 0.1)
    func end(_ values: [Float]) throws -> (step: Int, end: TrainingResult<SGD<Tensor>>.End) {
      var values = [0] + values
      let result = try train(
        Tensor(0), by: SGD(learningRate: 1), steps: 6, seed: 0, options: options,
        evaluate: { _ in values.removeFirst() }, loss: { x, _ in x })
      return (result.step, result.end)
    }
    #expect(try end([5, 4, 3.95, 3.91, 0, 0]) == (4, .stoppedEarly))
    #expect(try end([5, 4, 3.95, 3.8, 3.75, 3]) == (6, .completed))
    #expect(try end([5, .nan, .infinity, 1, 1, 1]) == (3, .stoppedEarly))
    #expect(try end([5, 4, 3, 2, 2, 2]) == (6, .completed), "the last step ends the training anyway")
  }

  /// The mean loss counts where there is no evaluation.
  @Test func stopsEarlyByTheLoss() throws {
    var options = TrainingOptions()
    options.reportEvery = 2
    options.earlyStopping = EarlyStopping(patience: 3)
    var losses: [Float] = []
    let result = try train(
      Tensor(0), by: SGD(learningRate: 1), steps: 50, seed: 0, options: options,
      onStep: { losses.append($0.loss) }, loss: { x, _ in -x })
    #expect(losses[..<3] == [0, -1, -2] && result.end == .completed)
    let rising = try train(Tensor(0), by: SGD(learningRate: 1), steps: 50, seed: 0, options: options) {
      x, _ in
      x - 2 * x.detached
    }
    #expect(rising.end == .stoppedEarly && rising.step == 8)
  }

  // MARK: What is not finite

  @Test func skippedStepsAreCountedAndReported() throws {
    var options = TrainingOptions()
    let lines = Lines()
    options.reports = .lines { lines.add($0) }
    options.reportEvery = 4
    let rows: [Float] = [1, .nan, 2, .infinity, .nan, 1, 1, 1]
    let batches = try Batches(of: Tensor(rows), size: 1, order: .stored)
    var steps: [TrainingStep] = []
    let result = try train(
      Self.start, by: Adam(for: Self.start), on: batches, steps: 8, seed: 0, options: options,
      onStep: { steps.append($0) }, loss: Self.loss)
    #expect(steps.map(\.skipped) == [0, 1, 1, 2, 3, 3, 3, 3])
    #expect(result.optimizer.skippedCount == 3 && result.optimizer.stepCount == 5)
    #expect(result.parameters.isFinite)
    let reasons = lines.all.filter { $0.contains("since") }
    #expect(reasons.count == 2, "one for each row of skipped steps")
    #expect(reasons.first == "step 2: skipped, since the gradient of parameter \"bias\" is nan")
    #expect(reasons.last?.hasPrefix("step 4: skipped, since the gradient of parameter \"bias\" is ") == true)
    #expect(lines.all.last?.contains(" | skipped 3 | ") == true)
    #expect(steps[3].meanLoss == (steps[0].loss + steps[2].loss) / 2, "only finite losses count")
  }

  /// The site whose numbers are not finite is named, whether they are values, parameters, or slopes on the way back.
  @Test(arguments: [
    ("slope", #"at step 3, since 3 steps in a row were skipped, the last one because the gradient of"#),
    ("value", #"site "y": location must be real, is "#),
    ("slope", #"at site "y": gradient: the way back makes it "#),
    ("slope", "since the slope of an operator in the density or in what leads to it is not finite"),
  ])
  func theSiteToBlameIsNamed(_ kind: String, _ expected: String) throws {
    let plate = Plate("particle", count: 5)
    var options = TrainingOptions()
    options.mostSkipped = 3
    let text = message {
      try train(Tensor(0), by: SGD(learningRate: 0.1), steps: 100, seed: 0, options: options) { x, key in
        let model = Model { trace in
          let z = trace.sample("z", from: Normal(0, 1))
          let location = kind == "value" ? z / x : sqrt(x * z.squared)
          trace.observe("y", 1, from: Normal(location, 1))
          return z
        }
        let proposal = Kernel { trace in trace.sample("z", from: Normal(0, 1)) }
        return try evaluate(propose(plate(model), plate(proposal), loss: .elbo), seed: key)().metrics.loss
      }
    }
    #expect(text?.contains(expected) == true, "\(text ?? "nothing was thrown")")
  }

  // MARK: Refusals

  @Test func optionsOutsideOfTheirDomains() throws {
    func complaint(steps: Int = 1, _ change: (inout TrainingOptions) -> Void) -> String? {
      var options = TrainingOptions()
      change(&options)
      return message {
        try train(Tensor(0), by: SGD(learningRate: 1), steps: steps, seed: 0, options: options) { x, _ in x }
      }
    }
    for steps in [0, -1, .min, .max] {
      #expect(
        complaint(steps: steps) { _ in }
          == "train: the number of steps must be from 1 to 2^31 - 1, is \(steps)")
    }
    for step in [-1, .max] {
      #expect(
        complaint { $0.firstStep = step }
          == "train: the first step's number must be from 0 to 2^31 - 1, is \(step)")
    }
    #expect(complaint { $0.reportEvery = 0 } == "train: reportEvery must be at least 1, is 0")
    #expect(complaint { $0.evaluateEvery = -1 } == "train: evaluateEvery must be at least 1, is -1")
    #expect(complaint { $0.checkedEvery = 0 } == "train: checkedEvery must be at least 1, is 0")
    #expect(
      complaint {
        $0.checkpoint = "a"
        $0.checkpointEvery = 0
      } == "train: checkpointEvery must be at least 1, is 0")
    for count in [0, 101] {
      #expect(
        complaint { $0.mostSkipped = count } == "train: mostSkipped must be from 1 to 100, is \(count)")
    }
    #expect(
      complaint {
        $0.checkpoint = "a"
        $0.metrics = "a"
      } == "train: metrics and checkpoint are the same file, a")
    let needsPath = "train: checkpointEvery and resumes need the path of a checkpoint"
    #expect(complaint { $0.checkpointEvery = 5 } == needsPath)
    #expect(complaint { $0.resumes = true } == needsPath)
    #expect(
      complaint { $0.earlyStopping = EarlyStopping(patience: 0) }
        == "EarlyStopping: the patience must be at least 1, is 0")
    #expect(
      complaint { $0.earlyStopping = EarlyStopping(patience: 1, improvement: .nan) }
        == "EarlyStopping: the improvement must be finite and not negative, is nan")
    #expect(complaint { $0.metrics = "/dev/null/a" }?.hasPrefix("/dev/null/a: cannot be written") == true)
    #expect(complaint { $0.checkpoint = "/dev/null/a" }?.hasPrefix("/dev/null/a: cannot be written") == true)
  }

  @Test func whatClosuresThrowComesOut() throws {
    struct Stop: Error {}
    func run(_ evaluate: ((Tensor) throws -> Float?)?, _ onStep: ((TrainingStep) throws -> Void)?) throws {
      try train(
        Tensor(0), by: SGD(learningRate: 1), steps: 3, seed: 0, evaluate: evaluate, onStep: onStep
      ) { x, _ in x }
    }
    #expect(throws: Stop.self) { try run({ _ in throw Stop() }, nil) }
    #expect(throws: Stop.self) { try run(nil) { _ in throw Stop() } }
    #expect(throws: Stop.self) {
      try train(Tensor(0), by: SGD(learningRate: 1), steps: 3, seed: 0) { _, _ in throw Stop() }
    }
  }
}

/// Lines that reports have said.
final class Lines: @unchecked Sendable {
  private let lock = NSLock()
  private var lines: [String] = []
  func add(_ line: String) { lock.withLock { lines.append(line) } }
  var all: [String] { lock.withLock { lines } }
}
