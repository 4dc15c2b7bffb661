import Coix
import TestSupport
import Testing

/// Programs made at random, most of them senseless: each gives numbers or an error, and both are the same for
/// every number of threads and every order of the chunks, replayed or not.
@Suite struct RandomProgramFuzzTests {
  /// What came of an evaluation: all of its numbers' bits, or the error.
  private enum Outcome {
    case numbers(Bits)
    case error(String)

    /// What differs.
    func differences(from other: Outcome) -> [String] {
      switch (self, other) {
      case (.numbers(let bits), .numbers(let others)): bits.differences(from: others)
      case (.error(let text), .error(let other)): text == other ? [] : [text, other]
      case (.numbers, .error(let text)): ["numbers", text]
      case (.error(let text), .numbers): [text, "numbers"]
      }
    }
  }

  private struct Example {
    let program: RandomProgram
    let plates: (outer: Plate, inner: Plate)
    let parameters: [Tensor]
    let input: [Tensor]
    let seed: Int

    init(_ random: inout SplitMix) {
      program = RandomProgram(&random)
      let counts = [1, 5, 33, 100]
      plates = (
        Plate("particle", count: counts.randomElement(using: &random) ?? 1, chunkRows: 16),
        Plate("instance", count: 3)
      )
      parameters = [
        Tensor(RandomExpression.anyNumber(&random)),
        Tensor((0..<3).map { _ in Float.random(in: -2...2, using: &random) }),
      ]
      let rows = Tensor(
        (0..<plates.outer.count).map { _ in RandomExpression.anyNumber(&random) }, shape: [plates.outer.count]
      )
      input = Bool.random(using: &random) ? [] : [plates.outer.mapped(rows)]
      seed = Int.random(in: 0...9, using: &random)
    }

    private func evaluation(_ parameters: [Tensor], _ options: EvaluationOptions) throws -> Evaluation<
      [Tensor]
    > {
      let program = try self.program.program(parameters, plates)
      return try evaluate(program, seed: PRNGKey(seed: seed), options: options).run(input)
    }

    func outcome(_ way: WayToRun, checks: Bool, gradient: Bool) -> Outcome {
      var bits = Bits()
      do {
        let options = try way.options { ($0.checks, $0.steps) = (checks, !gradient) }
        guard gradient else {
          bits.add(try evaluation(parameters, options))
          return .numbers(bits)
        }
        let result = try valueWithGradient(at: parameters) { parameters in
          let evaluation = try evaluation(parameters, options)
          return (try? evaluation.metrics.loss) ?? evaluation.metrics.logWeight.sum()
        }
        bits.add("value", Tensor(result.value))
        bits.addTree("gradient", result.gradient)
        return .numbers(bits)
      } catch let error as CoixError {
        return .error(error.description)
      } catch {
        return .error("not a CoixError: \(error)")
      }
    }
  }

  @Test func programsGiveNumbersOrAnErrorOnAnyThreads() throws {
    var (numbers, errors) = (0, 0)
    var kinds: [String: Int] = [:]
    for run in 0..<fuzzRuns(250) {
      var random = SplitMix(seed: UInt64(run))
      let example = Example(&random)
      let ways = [EvaluationOptions.Execution.eager, .replayed].flatMap {
        [
          WayToRun(threads: 1, execution: $0),
          WayToRun(threads: 3, shuffleSeed: UInt64(run), execution: $0),
        ]
      }
      for (checks, gradient) in [(false, false), (true, false), (false, true), (true, true)] {
        let outcome = example.outcome(.plain, checks: checks, gradient: gradient)
        switch outcome {
        case .numbers: numbers += 1
        case .error(let text):
          errors += 1
          kinds[String(text.prefix(60)), default: 0] += 1
          #expect(!text.hasPrefix("not a CoixError"), "run \(run): \(text)")
        }
        // Checks always run the program.
        for way in ways.dropFirst() where way.execution == .eager || !checks {
          let other = example.outcome(way, checks: checks, gradient: gradient)
          let differences = outcome.differences(from: other)
          #expect(
            differences.isEmpty,
            "run \(run), checks \(checks), gradient \(gradient), \(way): \(differences)\n\(example.program)")
        }
      }
    }
    // Programs of which all fail, or none, would show little.
    let most = kinds.sorted { $0.value > $1.value }.prefix(12).map { "\($0.value) \($0.key)" }
    #expect(
      numbers * 10 > numbers + errors && errors * 10 > numbers + errors,
      "\(numbers) numbers and \(errors) errors, of which:\n\(most.joined(separator: "\n"))")
  }
}
