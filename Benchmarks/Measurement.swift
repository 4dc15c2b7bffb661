import Coix
import CoixParallel
import Dispatch
import ExampleModels

/// The figures of one mode of a workload at one thread count, on all ranks together.
struct Measurement: Encodable, Sendable {
  let workload: String
  let mode: String
  let particles: Int
  let ranks: Int
  /// Of each rank.
  let threads: Int
  let medianSeconds: Double
  let minSeconds: Double
  let particlesPerSecond: Double
  let peakMemoryMB: Double?
  /// The share of the wall time in which one thread alone works: outside of ``Workers/regionSeconds``.
  let serialShare: Double
  /// A hash of the first runs' results.
  let digest: String
  /// What a step costs besides time, if that was asked for.
  let counters: CountedSteps?
  /// What ranks exchange, if there are several.
  let traffic: MeasuredTraffic?
}

/// What ranks exchange in a step.
struct MeasuredTraffic: Encodable, Sendable {
  /// The bytes that a rank sends: the rank that sends most.
  let sentBytes: Double
  /// The share of the first rank's time that it spends with exchanging, waiting included.
  let share: Double
  /// Of the first rank: meetings and what else all ranks exchange, and the bytes that it sends in them.
  let gatherings: Double
  let gatheredBytes: Double
  /// Of the first rank: messages to the next one, and their bytes.
  let messages: Double
  let messageBytes: Double
  /// What a meeting takes by itself.
  let meetingSeconds: Double
  /// The bytes that a rank receives in a second, where each sends as many to all.
  let bytesPerSecond: Double

  /// What has been exchanged in some steps. All ranks call it.
  init(
    _ before: RankTraffic, _ after: RankTraffic, steps: Int, seconds: Double, _ ranks: Ranks
  ) throws {
    func perStep(_ number: (RankTraffic) -> Int) -> Double {
      Double(number(after) - number(before)) / Double(steps)
    }
    sentBytes = Double(try ranks.greatest(UInt64(after.bytes - before.bytes))) / Double(steps)
    share = (after.time - before.time) / .seconds(seconds)
    messages = perStep(\.messages.count)
    messageBytes = perStep(\.messages.bytes)
    gatherings = perStep(\.exchanges) - messages
    gatheredBytes = perStep(\.bytes) - messageBytes

    let meetings = 200
    var start = ContinuousClock.now
    for _ in 0..<meetings { _ = try ranks.greatest(0) }
    meetingSeconds = (ContinuousClock.now - start) / .seconds(1) / Double(meetings)
    let (bytes, times) = (1 << 20, 8)
    var all = [UInt8](repeating: 0, count: ranks.count * bytes)
    start = .now
    for _ in 0..<times {
      try all.withUnsafeMutableBytes { all in
        guard let base = all.baseAddress else { return }
        try ranks.gather(parts: base, counts: Array(repeating: 1, count: ranks.count), unit: bytes)
      }
    }
    bytesPerSecond = Double(times * bytes * (ranks.count - 1)) / ((ContinuousClock.now - start) / .seconds(1))
  }
}

extension Workload {
  /// Measures at each thread count, by default seven times, or three what takes longer than a second.
  ///
  /// `report` is called with each measurement and, if it is known by then, that of one thread.
  func measure(
    _ mode: Mode, particles: Int, threads: [Int], _ ranks: Ranks, repeats: Int?, counters: StepCounters?,
    report: (Measurement, _ base: Measurement?) -> Void
  ) throws -> [Measurement] {
    let makeJob = try jobs(mode, particles: particles)
    var result: [Measurement] = []
    for count in threads {
      let workers = try Workers(threads: count, ranks: ranks)
      let measurement = try measure(mode, makeJob, particles, workers, repeats, counters)
      result.append(measurement)
      report(measurement, result.first { $0.threads == 1 })
    }
    return result
  }

  private func measure(
    _ mode: Mode, _ makeJob: (Workers) throws -> any Job, _ particles: Int, _ workers: Workers,
    _ repeats: Int?, _ counters: StepCounters?
  ) throws -> Measurement {
    PeakMemory.reset()
    var job = try makeJob(workers)
    // The first runs fill the buffer pools, and their results are what is hashed.
    var digest = Digest()
    var once = 0.0
    for _ in 0..<mode.firstRuns { once = try seconds { try job.run() } }
    try job.addResult(to: &digest)

    // All ranks run equally often.
    let ranks = workers.ranks
    once = try ranks.first(once)
    let runs = max(1, Int((0.05 / max(once, 1e-6)).rounded()))
    let repeats = repeats ?? (once > 1 ? 3 : 7)
    let (regionsBefore, trafficBefore) = (Workers.regionSeconds, ranks.traffic)
    let timings = try (0..<repeats).map { _ in try seconds { for _ in 0..<runs { try job.run() } } }
    let (traffic, total) = (ranks.traffic, timings.reduce(0, +))
    let sorted = timings.map { $0 / Double(runs) }.sorted()
    let median = (sorted[(repeats - 1) / 2] + sorted[repeats / 2]) / 2
    return Measurement(
      workload: name, mode: mode.rawValue, particles: particles, ranks: ranks.count,
      threads: workers.threads, medianSeconds: median, minSeconds: sorted[0],
      particlesPerSecond: Double(particles) / median,
      peakMemoryMB: PeakMemory.megabytes,
      serialShare: min(max(1 - (Workers.regionSeconds - regionsBefore) / total, 0), 1),
      digest: digest.description,
      // After the timings, which counting would disturb.
      counters: try counters?.counts(steps: runs) { try job.run() },
      traffic: ranks.count == 1
        ? nil
        : try MeasuredTraffic(trafficBefore, traffic, steps: runs * repeats, seconds: total, ranks))
  }

  private func seconds(_ work: () throws -> Void) rethrows -> Double {
    let start = DispatchTime.now().uptimeNanoseconds
    try work()
    return Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9
  }
}
