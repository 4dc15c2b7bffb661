import Coix
import Foundation
import Testing

/// What will not fit is refused before any stage runs on all rows: two rows of each plate have shown it.
@Suite struct MemoryTrialTests {
  /// A program whose closures count how often they run.
  struct Example: Sendable, CustomTestStringConvertible {
    let testDescription: String
    /// How many closures it has.
    let closures: Int
    /// Evaluates it with some options; within a gradient computation if there is a parameter.
    let run: @Sendable (EvaluationOptions, Counter, Tensor) throws -> Bits
  }

  private static let plate = Plate("particle", count: 1_000, chunkRows: 64)

  /// One step of a filter: a state of some numbers, and an observation.
  private static func step(_ number: Int, _ runs: Counter, _ mean: Tensor) -> Model<
    Tuple<Tensor>, Tuple<Tensor>
  > {
    Model { (trace, x: Tensor) in
      runs.add(1)
      let next = trace.sample("x\(number)", from: Normal(0.9 * x + mean, 1).event(1))
      trace.observe("y\(number)", 0.5, from: Normal(next.sum(), 3))
      return next
    }
  }

  private static func first(_ runs: Counter, _ mean: Tensor, width: Int = 4) -> Model<Tuple<>, Tuple<Tensor>>
  {
    Model { (trace) in
      runs.add(1)
      let x = trace.sample("x0", from: Normal(mean, 1).expanded(to: [width]).event(1))
      trace.observe("y0", 0.5, from: Normal(x.sum(), 3))
      return x
    }
  }

  /// A filter, which resamples before each step but the first.
  private static func filter(
    _ steps: Int, _ runs: Counter, _ mean: Tensor, in plate: Plate = plate,
    when: ResamplingCondition = .always, width: Int = 4
  ) -> Inference<Tuple<>, Tuple<Tensor>> {
    (1..<steps).reduce(Inference(plate(first(runs, mean, width: width)))) { before, number in
      compose(plate(step(number, runs, mean)), resample(before, when: when))
    }
  }

  private static func bits<Output: TensorTree>(_ evaluation: Evaluation<Output>) -> Bits {
    var bits = Bits()
    bits.add(evaluation)
    return bits
  }

  private static func example(
    _ name: String, _ closures: Int,
    _ program: @escaping @Sendable (Counter, Tensor) throws -> Inference<Tuple<>, Tuple<Tensor>>
  ) -> Example {
    Example(testDescription: name, closures: closures) { options, runs, mean in
      bits(try evaluate(program(runs, mean), seed: 5, options: options)())
    }
  }

  /// The bits of a metric's gradient, and of the metrics.
  private static func gradient(
    _ name: String, _ closures: Int,
    _ program: @escaping @Sendable (Counter, Tensor) throws -> Inference<Tuple<>, Tuple<Tensor>>
  ) -> Example {
    Example(testDescription: "\(name), gradient", closures: closures) { options, runs, mean in
      let (result, metrics) = try valueWithGradient(at: mean, workers: options.workers) { mean in
        let metrics = try evaluate(program(runs, mean), seed: 5, options: options)().metrics
        return (metrics.logWeight.sum(), metrics)
      }
      var bits = Bits()
      bits.add(Trace(), metrics)
      bits.add("value", result.tensor)
      bits.add("gradient", result.gradient)
      return bits
    }
  }

  private static let nest: @Sendable (Counter, Tensor) -> Inference<Tuple<>, Tuple<Tensor>> = { runs, mean in
    let (outer, inner) = (Plate("particle", count: 50), Plate("instance", count: 30))
    return (1..<5).reduce(Inference(outer(inner(first(runs, mean))))) { before, number in
      compose(outer(inner(step(number, runs, mean))), resample(before))
    }
  }

  private static let resized: @Sendable (Counter, Tensor) -> Inference<Tuple<>, Tuple<Tensor>> = {
    runs, mean in
    let more = Plate("particle", count: 1_500, chunkRows: 64)
    let few = Plate("particle", count: 300, chunkRows: 64)
    let second = compose(
      more(step(1, runs, mean)), resample(Inference(plate(first(runs, mean))), count: 1_500))
    let third = compose(more(step(2, runs, mean)), resample(second, scheme: .residual))
    let fourth = compose(few(step(3, runs, mean)), resample(third, count: 300))
    return compose(step(4, runs, mean), resample(fourth, count: .one))
  }

  /// Latent values and data that are mapped over plates, and conditions.
  private static let given = Example(testDescription: "given values", closures: 4) { options, runs, mean in
    let next = plate(
      Model { (trace, x: Tensor, y: Tensor) in
        runs.add(1)
        let next = trace.sample("x1", from: Normal(0.9 * x + mean, 1).event(1))
        trace.observe("y1", y, from: Normal(next.sum(), 3))
        return (next, y)
      })
    let start = plate(
      Model { (trace, y: Tensor) in
        runs.add(1)
        let x = trace.sample("x0", from: Normal(mean, 1).expanded(to: [4]).event(1))
        trace.observe("y0", y, from: Normal(x.sum(), 3))
        return (x, y)
      })
    let last = plate(
      Model { (trace, x: Tensor, y: Tensor) in
        runs.add(1)
        let z = trace.sample("z", from: Normal(x.sum(), 1))
        return (trace.sample("x2", from: Normal(0.9 * x, 1).event(1)), z)
      })
    let more = plate(
      Model { (trace, x: Tensor, z: Tensor) in
        runs.add(1)
        return trace.sample("x3", from: Normal(0.9 * x + z, 1).event(1))
      })
    let rows = plate.count
    let second = compose(next, resample(Inference(start)))
    let third = compose(
      condition(last, ["z": plate.mapped(Draw(key: 3, shape: [rows]).normal())]), resample(second))
    let program = compose(more, resample(third))
    let latents = ["x3": plate.mapped(Draw(key: 2, shape: [rows, 4]).normal())]
    return bits(
      try evaluate(program, latents: latents, seed: 5, options: options)(
        plate.mapped(Draw(key: 1, shape: [rows]).normal())))
  }

  private static let replayed = Example(testDescription: "empirical", closures: 3) { options, runs, mean in
    let before = try evaluate(plate(first(Counter(), mean)), seed: 1)()
    let start: Inference<Tuple<>, Tuple<Tensor>> = empirical(before)
    let program = (1..<4).reduce(start) { before, number in
      compose(plate(step(number, runs, mean)), resample(before))
    }
    return bits(try evaluate(program, seed: 5, options: options)())
  }

  private static let memoized = Example(testDescription: "memoize", closures: 2) { options, runs, mean in
    let proposal = Plate("particle", count: 60)(
      Kernel { (trace) in
        runs.add(1)
        return trace.sample("z", from: Categorical(logits: [0.5, 0.25, 0.25]))
      })
    let target = Plate("particle", count: 64)(
      Model { (trace) in
        runs.add(1)
        let z = trace.sample("z", from: Categorical(logits: [0.3, 0.3, 0.4]))
        trace.observe("x", 0.5, from: Normal(z + mean, 1))
        return z
      })
    return bits(
      try evaluate(
        memoize(target, proposal, memory: ["z": [0, 1, 2, 1]], size: 40), seed: 5, options: options)())
  }

  static let examples: [Example] = [
    example("filter", 6) { filter(6, $0, $1) },
    example("filter of the last state", 6) { marginal(filter(6, $0, $1), keeping: ["x5"]) },
    gradient("filter", 9) { filter(9, $0, $1) },
    example("nest", 5, nest), gradient("nest", 5, nest),
    example("resized", 5, resized), gradient("resized", 5, resized),
    given, replayed, memoized,
  ]

  private enum Outcome {
    case bits(Bits)
    case refused(CoixError)
  }

  private func outcome(
    _ example: Example, budget: Int, keep: EvaluationOptions.Keep = .everything, threads: Int = 1,
    execution: EvaluationOptions.Execution = .eager, ranks: Ranks = .alone
  ) throws -> (outcome: Outcome, runs: Int) {
    let runs = Counter()
    let options = EvaluationOptions(
      workers: try Workers(threads: threads, ranks: ranks, shuffleSeed: threads > 1 ? 3 : nil), keep: keep,
      execution: execution, memoryBudget: budget)
    do {
      return (.bits(try example.run(options, runs, 0.3)), runs.value)
    } catch let error as CoixError {
      guard case .memoryBudget = error else { throw error }
      return (.refused(error), runs.value)
    }
  }

  /// The least budget that does, as a refusal says it, and the refusal of one byte less.
  private func least(_ example: Example, keep: EvaluationOptions.Keep = .everything) throws -> (
    bytes: Int, refusal: CoixError
  ) {
    func refusal(of budget: Int) throws -> (error: CoixError, bytes: Int) {
      guard case .refused(let error) = try outcome(example, budget: budget, keep: keep).outcome,
        case .memoryBudget(_, let bytes, budget) = error
      else { throw CoixError.argument("\(budget) bytes are not refused") }
      return (error, bytes)
    }
    let bytes = try refusal(of: 1).bytes
    return (bytes, try refusal(of: bytes - 1).error)
  }

  @Test(arguments: examples, [EvaluationOptions.Keep.everything, .metrics])
  func isRefusedBeforeAnythingRuns(_ example: Example, _ keep: EvaluationOptions.Keep) throws {
    guard case .bits(let reference) = try outcome(example, budget: 1 << 30, keep: keep).outcome else {
      Issue.record("refused")
      return
    }
    let (least, _) = try least(example, keep: keep)
    for budget in [least, least + 1, least * 9 / 8, least * 3 / 2, least * 2] {
      guard case .bits(let found) = try outcome(example, budget: budget, keep: keep).outcome else {
        Issue.record("\(budget) bytes are refused, \(least) are not")
        continue
      }
      #expect(found.differences(from: reference) == [], "\(budget) bytes")
    }
    for budget in [least - 1, least - 100, least * 7 / 8, least / 2, least / 8, 1] {
      let (outcome, runs) = try outcome(example, budget: budget, keep: keep)
      guard case .refused(.memoryBudget(_, let bytes, budget)) = outcome else {
        Issue.record("\(budget) bytes are not refused")
        continue
      }
      #expect(bytes == least, "\(budget) bytes")
      // Within a gradient, another trial shows what is needed if as little as possible is kept.
      #expect(runs <= 2 * example.closures, "\(budget) bytes")
    }
  }

  @Test(arguments: [examples[0], examples[2], examples[3], examples[5]])
  func theErrorIsTheSame(_ example: Example) throws {
    let (least, refusal) = try least(example)
    guard case .memoryBudget(_, least, least - 1) = refusal else {
      Issue.record("\(refusal), not of \(least) bytes")
      return
    }
    for (threads, execution) in [(1, EvaluationOptions.Execution.replayed), (2, .eager), (3, .replayed)] {
      let (outcome, runs) = try outcome(example, budget: least - 1, threads: threads, execution: execution)
      guard case .refused(refusal) = outcome else {
        Issue.record("\(outcome)")
        continue
      }
      #expect(runs <= 2 * example.closures)
    }
  }

  /// Each rank counts its own rows. All ranks throw the error of the one that needs most, and so much does for all.
  @Test(arguments: [examples[0], examples[2], examples[3], examples[5], examples[6]])
  func ranksRefuseTogether(_ example: Example) throws {
    let (all, _) = try least(example)
    guard case .bits(let reference) = try outcome(example, budget: 1 << 30).outcome else { return }
    var (refused, completed) = (0, 0)
    for budget in stride(from: all * 5 / 4, to: all / 8, by: -all / 23) {
      let results = try Ranks.inProcess(2) { try outcome(example, budget: budget, ranks: $0) }
      if case .bits(let found) = results[0].outcome {
        completed += 1
        for case .bits(let other) in results.map(\.outcome) {
          #expect(other.differences(from: reference) == [])
        }
        #expect(found.differences(from: reference) == [], "\(budget) bytes")
        continue
      }
      refused += 1
      let errors = results.compactMap { if case .refused(let error) = $0.outcome { error } else { nil } }
      #expect(errors.count == 2 && errors[0] == errors[1])
      for result in results { #expect(result.runs <= 2 * example.closures, "\(budget) bytes") }
    }
    #expect(refused > 3 && completed > 1)
    func outcomes(_ budget: Int) throws -> [Outcome] {
      try Ranks.inProcess(3) { try outcome(example, budget: budget, ranks: $0).outcome }
    }
    guard case .refused(.memoryBudget(let what, let need, 1)) = try outcomes(1)[0] else {
      Issue.record("not refused")
      return
    }
    for outcome in try outcomes(need - 1) {
      guard case .refused(.memoryBudget(what, need, need - 1)) = outcome else {
        Issue.record("\(outcome), not refused for \(need) bytes")
        continue
      }
    }
    for outcome in try outcomes(need) {
      guard case .bits = outcome else {
        Issue.record("\(outcome) with the \(need) bytes that it asked for")
        continue
      }
    }
  }

  /// Of the second stage's rows: the states before and their ancestors, then the new state, two log-densities that are kept,
  /// and the log-weight.
  @Test func theBytesAreCounted() throws {
    let rows = 1_024
    let example = Self.example("two steps", 2) {
      Self.filter(2, $0, $1, in: Plate("particle", count: rows, chunkRows: 64))
    }
    let (outcome, _) = try outcome(example, budget: 4 * rows)
    guard case .refused(let error) = outcome else {
      Issue.record("not refused")
      return
    }
    #expect(
      error
        == .memoryBudget(
          what: "what is kept of \(rows) rows", bytes: 4 * rows * (6 + 1 + 7), budget: 4 * rows))
    #expect(try least(example, keep: .metrics).bytes == 4 * rows * (4 + 1 + 1))
    #expect(try least(example).bytes == 4 * rows * (6 + 1 + 7))
  }

  /// Rows that leave much behind are refused before, too, where somebody has asked for a budget.
  @Test func rowsThatLeaveMuchBehind() throws {
    let (rows, steps) = (100, 4)
    let example = Self.example("wide filter", steps) {
      Self.filter(steps, $0, $1, in: Plate("particle", count: rows), width: 5_000)
    }
    let budget = try least(example).bytes / 2
    // There would be room for 4 KiB of each row of each step.
    #expect(budget > 4_096 * rows * steps)
    let (outcome, runs) = try outcome(example, budget: budget)
    guard case .refused = outcome else {
      Issue.record("not refused")
      return
    }
    #expect(runs == steps, "each closure has run in the trial alone")
  }

  /// Whether particles will be drawn anew is not known before: what may not fit is refused, whatever happens then.
  @Test(arguments: [0, 0.5, 1], [false, true])
  func conditionsAreNotKnownBefore(_ fraction: Double, _ isGradient: Bool) throws {
    func example(_ condition: ResamplingCondition) -> Example {
      isGradient
        ? Self.gradient("filter", 6) { Self.filter(6, $0, $1, when: condition) }
        : Self.example("filter", 6) { Self.filter(6, $0, $1, when: condition) }
    }
    let condition = example(.ess(below: fraction))
    let (least, _) = try least(condition)
    #expect(try least >= self.least(example(.always)).bytes)
    for budget in [least - 1, least * 3 / 4, least / 8] {
      let (outcome, runs) = try outcome(condition, budget: budget)
      guard case .refused(.memoryBudget(_, least, budget)) = outcome else {
        Issue.record("\(outcome), not refused for \(least) bytes")
        continue
      }
      #expect(runs <= 2 * condition.closures)
    }
    guard case .bits(let tight) = try outcome(condition, budget: least).outcome,
      case .bits(let all) = try outcome(condition, budget: 1 << 30).outcome
    else {
      Issue.record("refused")
      return
    }
    #expect(tight.differences(from: all) == [])
  }

  /// A second evaluation in the same gradient computation finds the tape as the first has left it.
  @Test func nothingStaysOnTheTape() throws {
    func gradient(_ budget: Int?) throws -> (Float, Float) {
      let options = EvaluationOptions(keep: .metrics, memoryBudget: budget)
      let result = try valueWithGradient(at: Tensor(0.3)) { mean in
        let scaled = mean * 2
        let first = try evaluate(Self.filter(9, Counter(), scaled), seed: 3, options: options)().metrics
        let between = first.logWeight.sum() * scaled
        let second = try evaluate(Self.filter(9, Counter(), between * 0.001), seed: 4, options: options)()
        return try between + second.metrics.logZ
      }
      return (result.value, result.gradient.scalar)
    }
    let (all, tight) = (try gradient(1 << 30), try gradient(400_000))
    #expect(all.0.bitPattern == tight.0.bitPattern && all.1.bitPattern == tight.1.bitPattern)
    #expect(throws: CoixError.self) { try gradient(60_000) }
    // After an error, too.
    let failing = try valueWithGradient(at: Tensor(0.3)) { mean in
      let options = EvaluationOptions(keep: .metrics, memoryBudget: 10_000)
      #expect(throws: CoixError.self) {
        try evaluate(Self.filter(9, Counter(), mean), seed: 3, options: options)()
      }
      return mean * mean
    }
    #expect(failing.gradient.scalar == 0.6)
  }

  @Test func noFileIsMade() throws {
    try withTemporaryFolder { folder in
      func run(_ budget: Int) throws -> Evaluation<Tuple<Tensor>> {
        let files: [RowResult: RowFile] = [
          .output(): .npy("\(folder)/x.npy"), .site("x0"): .npy("\(folder)/x0.npy"),
        ]
        let options = EvaluationOptions(keep: .metrics, files: files, memoryBudget: budget)
        return try evaluate(Self.filter(6, Counter(), 0.3), seed: 5, options: options)()
      }
      #expect(throws: CoixError.self) { try run(40_000) }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [])
      _ = try run(1 << 20)
      let own = try evaluate(Self.filter(6, Counter(), 0.3), seed: 5)()
      #expect(try NPYArray(contentsOf: "\(folder)/x.npy").tensor().scalars == own.output.values.scalars)
    }
  }

  // MARK: Recorded steps

  private func step(_ budget: Int?, _ runs: Counter) -> (Tensor, PRNGKey) throws -> ValueWithGradient<Tensor>
  {
    let options = EvaluationOptions(keep: .metrics, memoryBudget: budget)
    return { mean, key in
      try valueWithGradient(at: mean) { mean in
        runs.add(1)
        return try evaluate(Self.filter(9, Counter(), mean), seed: key, options: options)().metrics.logZ
      }
    }
  }

  /// A step that has no room for all that a recorded one keeps is evaluated each time, in segments.
  @Test func aStepIsRecordedWhereItFits() throws {
    let own = step(nil, Counter())
    var found: Set<Int> = []
    var refusals = 0
    for budget in stride(from: 1_200_000, to: 20_000, by: -45_000) {
      let runs = Counter()
      let compiled = compile(step(budget, runs))
      do {
        for seed in 0..<3 {
          let (result, reference) = (try compiled(0.3, key: seed), try own(0.3, PRNGKey(seed: seed)))
          #expect(result.value.bitPattern == reference.value.bitPattern)
          #expect(result.gradient.scalar.bitPattern == reference.gradient.scalar.bitPattern)
        }
        #expect(refusals == 0)
        #expect(runs.value == 1 || runs.value >= 3)
        found.insert(min(runs.value, 3))
        #expect(compiled.runCount == runs.value)
      } catch CoixError.memoryBudget(_, _, budget) {
        refusals += 1
        #expect(throws: CoixError.self) { try step(budget, Counter())(0.3, 0) }
      }
    }
    #expect(found == [1, 3])
    #expect(refusals > 1)
  }

  @Test func trainingIsRecordedWhereItFits() throws {
    func trained(_ budget: Int?) throws -> Float {
      let options = EvaluationOptions(keep: .metrics, memoryBudget: budget)
      let training = CompiledTraining(Tensor(0.3), by: Adam(for: Tensor(0.3))) { (mean, key) in
        -(try evaluate(Self.filter(9, Counter(), mean), seed: key, options: options)().metrics.logZ)
      }
      for seed in 0..<3 { try training.step(key: seed) }
      return try training.parameters.scalar
    }
    let all = try trained(nil)
    for budget in [800_000, 400_000, 300_000] {
      #expect(try trained(budget).bitPattern == all.bitPattern, "\(budget) bytes")
    }
    #expect(throws: CoixError.self) { try trained(60_000) }
  }
}
