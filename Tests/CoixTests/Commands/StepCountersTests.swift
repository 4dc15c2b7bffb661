import Coix
import CoixParallel
import Foundation
import Testing

@testable import bench

/// In processes of their own, where nothing else allocates.
@Suite struct StepCountersTests {
  @Test(.enabled(if: StepCounters.seesAllocations))
  func countsEveryKindOfAllocation() async {
    await #expect(processExitsWith: .success) {
      var kept: [UnsafeMutableRawPointer?] = []
      kept.reserveCapacity(10_000)
      func counts(rounds: Int) throws -> CountedSteps {
        try StepCounters().counts(steps: 4) {
          for _ in 0..<rounds {
            kept.append(malloc(8))
            kept.append(calloc(2, 8))
            kept.append(realloc(nil, 8))
            kept.append(aligned_alloc(64, 128))
            var buffer: UnsafeMutableRawPointer?
            _ = posix_memalign(&buffer, 128, 256)
            kept.append(buffer)
          }
        }
      }
      // The first time Swift's run-time library makes what it keeps of the types.
      _ = try counts(rounds: 1)
      let many = try counts(rounds: 100)
      #expect(many.steps == 4)
      #expect(many.allocationsPerStep == 500)
      #expect(many.regionAllocationsPerStep == 0)
      #expect((many.instructionsPerStep == nil) == (many.missing["instructions"] != nil))
      #expect(kept.allSatisfy { $0 != nil })
      for pointer in kept { free(pointer) }
    }
  }

  /// Out of the compiler's sight, since it may leave out an allocation that is freed at once.
  @inline(never)
  private static func allocation() -> UnsafeMutableRawPointer? { malloc(8) }

  @Test(.enabled(if: StepCounters.seesAllocations))
  func tellsAllocationsInParallelRegions() async {
    await #expect(processExitsWith: .success) {
      let plate = Plate("particle", count: 4_096)
      let options = EvaluationOptions(workers: try Workers(threads: 2), keep: .metrics)
      /// Allocations of a step whose program makes so many in each chunk, in all and in the regions.
      func counts(inChunk count: Int) throws -> (all: Double, inRegions: Double) {
        let program = Kernel { (trace) in
          for _ in 0..<count { free(StepCountersTests.allocation()) }
          return trace.sample("z", from: Normal(0, 1))
        }
        // The first runs fill the buffer pools.
        for _ in 0..<10 { _ = try evaluate(plate(program), seed: 0, options: options)() }
        let counts = try StepCounters().counts(steps: 20) {
          _ = try evaluate(plate(program), seed: 0, options: options)()
        }
        return try (#require(counts.allocationsPerStep), #require(counts.regionAllocationsPerStep))
      }
      let (few, many) = (try counts(inChunk: 0), try counts(inChunk: 1_000))
      // Two chunks.
      #expect(abs(many.inRegions - few.inRegions - 2_000) < 20)
      #expect(abs((many.all - many.inRegions) - (few.all - few.inRegions)) < 20)
      #expect(few.inRegions > 0 && few.all > few.inRegions)
    }
  }

  /// A step that is replayed allocates nothing in regions, and a longer program's no more than a short one's.
  @Test(.enabled(if: StepCounters.seesAllocations))
  func replayedStepsAllocateNothing() async {
    await #expect(processExitsWith: .success) {
      let options = EvaluationOptions(workers: try Workers(threads: 1), keep: .metrics)
      func counts(sites: Int) throws -> (all: Double, inRegions: Double) {
        let training = CompiledTraining(Tensor(0.5), by: Adam(for: Tensor(0.5)), workers: options.workers) {
          scale, key in
          let model = Model { trace in
            for site in 0..<sites { trace.observe("x\(site)", 1, from: Normal(0, exp(scale))) }
            return trace.sample("z", from: Normal(0, 1))
          }
          let guess = Kernel { trace in trace.sample("z", from: Normal(scale, 1)) }
          let plate = Plate("particle", count: 100)
          let program = propose(plate(model), plate(guess), loss: .elbo)
          return try evaluate(program, seed: key, options: options)().metrics.loss
        }
        for step in 0..<5 { try training.step(key: step) }
        var step = 5
        let counts = try StepCounters().counts(steps: 20) {
          try training.step(key: step)
          step += 1
        }
        return try (#require(counts.allocationsPerStep), #require(counts.regionAllocationsPerStep))
      }
      let (few, many) = (try counts(sites: 1), try counts(sites: 50))
      #expect(few.inRegions == 0 && many.inRegions == 0)
      #expect(few.all <= 12 && abs(many.all - few.all) <= 1, "\(few.all), \(many.all)")
    }
  }

  /// A chunk that is replayed allocates nothing: a thousand chunks more take no more than a few allocations more.
  @Test(.enabled(if: StepCounters.seesAllocations))
  func replayedChunksAllocateNothing() async {
    await #expect(processExitsWith: .success) {
      let options = EvaluationOptions(workers: try Workers(threads: 1), keep: .metrics)
      func inRegions(chunks: Int) throws -> Double {
        let plate = Plate("particle", count: 16 * chunks, chunkRows: 16)
        let program = Kernel { trace in
          let z = trace.sample("z", from: Normal(0, 1))
          return trace.sample("y", from: Normal(tanh(z), exp(z / 4)))
        }
        for seed in 0..<5 { _ = try evaluate(plate(program), seed: seed, options: options)() }
        return try #require(
          StepCounters().counts(steps: 10) { _ = try evaluate(plate(program), seed: 0, options: options)() }
            .regionAllocationsPerStep)
      }
      let (few, many) = (try inRegions(chunks: 100), try inRegions(chunks: 1_100))
      // Without optimisation, Swift puts a closure of each chunk on the heap.
      #expect(many - few < (_isDebugAssertConfiguration() ? 1_050 : 50), "\(few), \(many)")
    }
  }

  /// What the system gives and refuses stays what it is.
  @Test func leavesAllocationsAsTheyAre() {
    var buffer: UnsafeMutableRawPointer?
    #expect(posix_memalign(&buffer, 4_096, 64) == 0)
    #expect(buffer.map { Int(bitPattern: $0) % 4_096 } == 0)
    free(buffer)
    buffer = nil
    #expect(posix_memalign(&buffer, 48, 64) == EINVAL)
    #expect(posix_memalign(&buffer, 64, Int.max) == ENOMEM)
    #expect(buffer == nil)
  }

  /// The JSON has a key for each count, with a null for what is missing.
  @Test func writesCounts() throws {
    try withTemporaryFolder { folder in
      let file = "\(folder)/bench.json"
      try Bench.parse([
        "--workload", "filter", "--particles", "100", "--threads", "1", "--repeats", "1", "--counters",
        "--json", file,
      ]).run()
      let data = try Data(contentsOf: URL(fileURLWithPath: file))
      let records = try #require(try JSONSerialization.jsonObject(with: data) as? [[String: Any]])
      let counters = try #require(records.first?["counters"] as? [String: Any])
      let missing = try #require(counters["missing"] as? [String: String])
      #expect(try #require(counters["steps"] as? Int) >= 1)
      // A step need not allocate anything while its workers run.
      for (key, count, least) in [
        ("allocationsPerStep", "allocations", 0.1), ("regionAllocationsPerStep", "allocations", 0),
        ("instructionsPerStep", "instructions", 1),
      ] {
        let number = try #require(counters[key])
        #expect((number as? Double ?? -1 >= least) == (missing[count] == nil), "\(key): \(number)")
      }
    }
  }

  @Test func stopsAtAnError() {
    #expect(throws: CoixError.self) { try StepCounters().counts(steps: 2) { throw CoixError.threads(0) } }
  }
}
