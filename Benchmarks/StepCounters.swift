import BenchCounters
import CoixParallel
import Foundation

/// What a step costs besides time, once the buffer pools are filled.
struct CountedSteps: Encodable, Sendable {
  /// The steps that the counts are averages of.
  let steps: Int
  /// Calls of the C library's allocator.
  let allocationsPerStep: Double?
  /// Those of them that were made while a parallel region ran.
  let regionAllocationsPerStep: Double?
  /// Of all threads, outside of the kernel.
  let instructionsPerStep: Double?
  /// Why a count is not there, by what was to be counted.
  let missing: [String: String]

  func encode(to encoder: any Encoder) throws {
    // A count that is not there is a null, not a key left out.
    var object = encoder.container(keyedBy: CodingKeys.self)
    try object.encode(steps, forKey: .steps)
    try object.encode(allocationsPerStep, forKey: .allocationsPerStep)
    try object.encode(regionAllocationsPerStep, forKey: .regionAllocationsPerStep)
    try object.encode(instructionsPerStep, forKey: .instructionsPerStep)
    try object.encode(missing, forKey: .missing)
  }

  private enum CodingKeys: CodingKey {
    case steps, allocationsPerStep, regionAllocationsPerStep, instructionsPerStep, missing
  }
}

/// Counts of the whole process: nothing else may run meanwhile.
final class StepCounters {
  /// An open counter of instructions, or an error number below zero.
  private let descriptor = bench_open_instructions()
  static var seesAllocations: Bool { bench_can_count_allocations() }

  // Threads that are there before this are not among those whose instructions are counted.
  init() {}

  deinit {
    if descriptor >= 0 { close(descriptor) }
  }

  /// Why a count will not be there, by what was to be counted.
  var missing: [String: String] {
    var reasons: [String: String] = [:]
    if !Self.seesAllocations {
      reasons["allocations"] = "the C library is not glibc, or a sanitizer has the allocator"
    }
    if descriptor < 0 { reasons["instructions"] = Self.reason(-descriptor) }
    return reasons
  }

  private static func reason(_ error: Int32) -> String {
    switch error {
    case ENOENT, ENODEV, EOPNOTSUPP: "the processor shows no counter here, as in many virtual machines"
    case EACCES, EPERM: "the system or the container forbids it (perf_event_paranoid, seccomp)"
    default: String(cString: strerror(error))
    }
  }

  /// Counts what so many runs of a step do.
  func counts(steps: Int, _ step: () throws -> Void) throws -> CountedSteps {
    let instructionsBefore = instructions
    bench_start_allocations { Workers.isRunning }
    let result = Result { for _ in 0..<steps { try step() } }
    let allocations = bench_stop_allocations()
    let instructionsAfter = instructions
    try result.get()
    func perStep(_ count: UInt64) -> Double { Double(count) / Double(steps) }
    return CountedSteps(
      steps: steps,
      allocationsPerStep: Self.seesAllocations ? perStep(allocations.all) : nil,
      regionAllocationsPerStep: Self.seesAllocations ? perStep(allocations.in_regions) : nil,
      instructionsPerStep: instructionsBefore.flatMap { before in
        instructionsAfter.map { perStep($0 - before) }
      },
      missing: missing)
  }

  private var instructions: UInt64? {
    var count: UInt64 = 0
    return bench_read_instructions(descriptor, &count) ? count : nil
  }
}
