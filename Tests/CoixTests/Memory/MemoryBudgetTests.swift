import Coix
import ExampleModels
import Testing

/// A budget decides what is kept and what is computed again, never a bit; what cannot fit is refused.
@Suite struct MemoryBudgetTests {
  // MARK: The same bits

  /// Everything that an evaluation gives, with a gradient; nil if it is refused.
  private func bits(_ example: AlgorithmExample, _ way: WayToRun, _ ranks: Ranks = .alone, budget: Int) throws
    -> Bits?
  {
    let options = try way.options(of: ranks) {
      $0.memoryBudget = budget
      $0.keep = .metrics
    }
    var bits = Bits()
    do {
      let (gradient, metrics) = try valueWithGradient(at: example.parameters, workers: options.workers) {
        let result = try example.program(AlgorithmThreadTests.plate, at: $0).run(5, options)
        return (try result.metrics.loss, result.metrics)
      }
      bits.add(Trace(), metrics)
      bits.add("value", Tensor(gradient.value))
      bits.addTree("gradient", gradient.gradient)
      return bits
    } catch CoixError.memoryBudget {
      return nil
    }
  }

  private static let resampled = AlgorithmExample.all.filter { $0.resamplings >= 2 }

  /// From all that is asked for down to so little that it is refused.
  @Test(arguments: resampled)
  func everyNumberIsTheSame(_ example: AlgorithmExample) throws {
    let reference = try #require(try bits(example, .plain, budget: 1 << 30))
    let ways = [.plain, WayToRun(threads: 2, shuffleSeed: 2, execution: .replayed)]
    var budget = 1 << 17
    while true {
      let found = try ways.map { try bits(example, $0, budget: budget) }
      for (way, found) in zip(ways, found) {
        if let found { #expect(found.differences(from: reference) == [], "\(budget) bytes, \(way)") }
      }
      #expect(Set(found.map { $0 == nil }).count == 1, "refused on some threads alone: \(budget) bytes")
      if found[0] == nil { break }
      budget = budget * 3 / 5
    }
    #expect(budget < 1 << 16)
  }

  @Test func ranksAgree() throws {
    let example = AlgorithmExample.stateSpace("vsmc", "loop", steps: 9)
    let way = WayToRun(threads: 1, execution: .replayed)
    let reference = try #require(try bits(example, .plain, budget: 1 << 30))
    var (budget, count) = (1 << 18, 0)
    while true {
      let results = try Ranks.inProcess(2) { [budget] in try bits(example, way, $0, budget: budget) }
      #expect(results.count { $0 == nil } % 2 == 0)
      guard let result = results[0] else { break }
      #expect(result.differences(from: reference) == [], "\(budget) bytes")
      (budget, count) = (budget * 9 / 10, count + 1)
    }
    #expect(count > 2)
  }

  /// A filter over some steps, whose first proposal counts the chunks that it runs for.
  private func filter(_ steps: Int, rows: Int, _ runs: Counter, _ mean: Tensor) -> Inference<
    Tuple<>, Tuple<Tensor>
  > {
    let plate = Plate("particle", count: rows, chunkRows: 64)
    let first = Model { (trace) in
      runs.add(1)
      let x = trace.sample("x0", from: Normal(mean, 1).expanded(to: [4]).event(1))
      trace.observe("y0", 0.5, from: Normal(x.sum(), 1))
      return x
    }
    return (1..<steps).reduce(Inference(plate(first))) { before, step in
      let next = Model { (trace, x: Tensor) in
        let next = trace.sample("x\(step)", from: Normal(0.9 * x, 1).event(1))
        trace.observe("y\(step)", 0.5, from: Normal(next.sum(), 1))
        return next
      }
      return compose(plate(next), resample(before))
    }
  }

  private func gradient(_ steps: Int, budget: Int?, checks: Bool = false) throws -> (
    result: ValueWithGradient<Tensor>, runs: Int
  ) {
    let runs = Counter()
    let options = EvaluationOptions(
      workers: try Workers(threads: 2), keep: .metrics, checks: checks, execution: .eager,
      memoryBudget: budget)
    let result = try valueWithGradient(at: Tensor(0.3)) { mean in
      let metrics = try evaluate(filter(steps, rows: 1_000, runs, mean), seed: 3, options: options)().metrics
      return try metrics.logWeight.sum() + metrics.ess
    }
    return (result, runs.value)
  }

  /// The first stage's chunks run once, once more where only tapes have no room, and once more where the steps in between are let
  /// go of.
  @Test(arguments: [false, true])
  func whatDoesNotFitIsComputedAgain(_ checks: Bool) throws {
    let chunks = 16
    let all = try gradient(9, budget: nil)
    #expect(all.runs == chunks)
    var counts: Set<Int> = []
    for budget in stride(from: 1_000_000, to: 100_000, by: -50_000) {
      let some = try gradient(9, budget: budget, checks: checks)
      #expect(some.result.value.bitPattern == all.result.value.bitPattern)
      #expect(some.result.gradient.scalar.bitPattern == all.result.gradient.scalar.bitPattern)
      // A trial has run one more.
      counts.insert((some.runs - 1 + chunks - 1) / chunks)
    }
    #expect(counts.max() == 3)
    #expect(all.result.gradient.scalar != 0)
  }

  /// A slope that is infinite is found on the way back, wherever the budget has let go of the steps in between.
  @Test(arguments: [1, 4, 8])
  func checksNameTheSameSite(_ broken: Int) throws {
    let plate = Plate("particle", count: 1_000, chunkRows: 64)
    func complaint(_ budget: Int?) -> String? {
      let options = EvaluationOptions(keep: .metrics, checks: true, memoryBudget: budget)
      return message {
        try valueWithGradient(at: Tensor(0)) { mean in
          let first = Model { (trace) in
            let x = trace.sample("x0", from: Normal(0, 1).expanded(to: [4]).event(1))
            trace.observe("y0", 0.5, from: Normal(x.sum(), 3))
            return x
          }
          let program = (1..<9).reduce(Inference(plate(first))) { before, step in
            let next = Model { (trace, x: Tensor) in
              let next = trace.sample("x\(step)", from: Normal(0.9 * x, 1).event(1))
              let drift = step == broken ? sqrt(mean * next.sum().squared) : mean
              trace.observe("y\(step)", 0.5, from: Normal(next.sum() + drift, 3))
              return next
            }
            return compose(plate(next), resample(before))
          }
          return try evaluate(program, seed: 3, options: options)().metrics.logWeight.sum()
        }
      }
    }
    let all = complaint(nil)
    #expect(
      all?.hasPrefix("at site \"y\(broken)\": gradient: the way back makes it ") == true, "\(all ?? "none")")
    var found = 0
    for budget in stride(from: 800_000, to: 100_000, by: -100_000) {
      guard let text = complaint(budget), !text.contains("memory budget") else { continue }
      #expect(text == all, "\(budget) bytes")
      found += 1
    }
    #expect(found > 2)
  }

  @Test func whatIsDoneDifferentlyIsAnError() throws {
    let plate = Plate("particle", count: 64)
    let first = Model { (trace) in
      let x = trace.sample("x0", from: Normal(0, 1))
      trace.observe("y0", 0.5, from: Normal(x, 1))
      return x
    }
    func complaint(_ budget: Int) -> String? {
      let (chunks, options) = (
        Counter(), EvaluationOptions(keep: .metrics, execution: .eager, memoryBudget: budget)
      )
      do {
        _ = try valueWithGradient(at: Tensor(0.3)) { mean in
          let second = Model { (trace, x: Tensor) in
            chunks.add(1)
            // A state of another shape when it runs again.
            let next = trace.sample("x1", from: Normal(mean * x, 1).expanded(to: [chunks.value]).event(1))
            trace.observe("y1", 0.5, from: Normal(next.sum(), 1))
            return next
          }
          let start = compose(plate(second), resample(Inference(plate(first))))
          let program = (2..<9).reduce(start) { before, step in
            let next = Model { (trace, x: Tensor) in
              trace.observe("y\(step)", 0.5, from: Normal(x.sum() * mean, 1))
              return x
            }
            return compose(plate(next), resample(before))
          }
          return try evaluate(program, seed: 3, options: options)().metrics.logWeight.sum()
        }
        return nil
      } catch CoixError.memoryBudget {
        return "refused"
      } catch {
        return "\(error)"
      }
    }
    // Where there is room for everything, nothing is computed again.
    let budgets = [1 << 20] + Array(stride(from: 20_000, to: 500, by: -500))
    let complaints = Set(budgets.map(complaint))
    #expect(
      complaints == [
        nil, "refused",
        "gradient: a program has done something else when its steps were computed again; its closures must be pure",
      ])
  }

  // MARK: Refused

  private func refusal(rows: Int, budget: Int, _ complete: (inout EvaluationOptions) -> Void = { _ in })
    throws
    -> (message: String?, runs: Int)
  {
    let runs = Counter()
    let plate = Plate("row", count: rows, chunkRows: 16)
    let model = plate(
      Model { (trace, x: Tensor) in
        runs.add(1)
        let z = trace.sample("z", from: Normal(0, 1).expanded(to: [3]).event(1))
        trace.observe("x", x, from: Normal(z.sum(), 1))
        return z
      })
    var options = EvaluationOptions(
      workers: try Workers(threads: 1), execution: .eager, memoryBudget: budget)
    complete(&options)
    do {
      _ = try evaluate(model, seed: 0, options: options)(plate.mapped(Tensor.zeros([rows])))
      return (nil, runs.value)
    } catch {
      return ("\(error)", runs.value)
    }
  }

  /// For each row the input, three values, and two log-densities, one of which is the log-weight.
  @Test func theBytesAreCounted() throws {
    let rows = 1_024
    let all = try refusal(rows: rows, budget: 1)
    #expect(
      all.message
        == "what is kept of 1024 rows, with all else that must be in memory, needs \(4 * rows * 6) bytes; "
        + "the memory budget is 1. What would help: fewer rows at a time (plate.rows), keep: .metrics, results in files, "
        + "more ranks, or a larger budget (memoryBudget, COIX_MEMORY_BUDGET)")
    #expect(all.runs == 1)
    #expect(
      try refusal(rows: rows, budget: 4 * rows * 6 - 1).message
        == all.message?.replacing("is 1.", with: "is \(4 * rows * 6 - 1)."))
    #expect(try refusal(rows: rows, budget: 4 * rows * 6).message == nil)
    // The input and the log-weights.
    #expect(try refusal(rows: rows, budget: 4 * rows * 2) { $0.keep = .metrics }.message == nil)
    #expect(try refusal(rows: rows, budget: 4 * rows * 2 - 1) { $0.keep = .metrics }.runs == 1)
    try withTemporaryFolder { folder in
      // The input alone.
      let message = try refusal(rows: rows, budget: 4 * rows) {
        $0.keep = .metrics
        $0.files = [.logWeight: .npy("\(folder)/w.npy")]
      }.message
      #expect(message == nil)
    }
  }

  @Test(arguments: [0, -1, Int.min])
  func budgetsThatAreNone(_ budget: Int) throws {
    let refusal = try refusal(rows: 16, budget: budget)
    #expect(refusal.message == "the memory budget must be at least 1 byte, is \(budget)")
    #expect(refusal.runs == 0)
  }
}
