import Coix
import CoixParallel
import Foundation
import Testing

@testable import bench

@Suite struct BenchCommandTests {
  /// An object of the JSON that `bench` writes, as the scripts read it.
  private struct Record: Decodable {
    let workload: String
    let mode: String
    let particles: Int
    let ranks: Int
    let threads: Int
    let medianSeconds: Double
    let minSeconds: Double
    let particlesPerSecond: Double
    let peakMemoryMB: Double?
    let serialShare: Double
    let digest: String
  }

  private static func records(_ file: String) throws -> [Record] {
    try JSONDecoder().decode([Record].self, from: Data(contentsOf: URL(fileURLWithPath: file)))
  }

  @Test func readsThreadCounts() {
    #expect(ThreadCounts(argument: "16")?.counts() == [1, 2, 4, 8, 16])
    #expect(ThreadCounts(argument: "6")?.counts() == [1, 2, 4, 6])
    #expect(ThreadCounts(argument: "1")?.counts() == [1])
    #expect(ThreadCounts(argument: "6")?.counts(exact: true) == [6])
    #expect(ThreadCounts(argument: "1,3,2")?.counts() == [1, 3, 2])
    for argument in ["", ",", "1,", "1,x", "two", "99999999999999999999"] {
      #expect(ThreadCounts(argument: argument) == nil)
    }
  }

  @Test(arguments: [
    (["--bogus"], "Unknown option '--bogus'"),
    (["--threads", "0"], "the number of threads must be at least 1, is 0"),
    (["--threads", "2,-1"], "the number of threads must be at least 1, is -1"),
    (["--threads", "1,x"], "The value '1,x' is invalid for '--threads <n|t1,t2,…>'"),
    (["--workload", "none"], "there is no workload 'none'; there are: vae, filter, "),
    (["--mode", "none"], "The value 'none' is invalid for '--mode <mode>'"),
    (["--workload", "filter", "--mode", "gradient"], "filter has no mode 'gradient'; it has: forward"),
    (["--particles", "0"], "--particles must be at least 1, is 0"),
    (["--repeats", "-1"], "--repeats must be between 1 and 1,000,000, is -1"),
    (
      ["--mode", "forward", "--particles", "2000000000"],
      "more than this machine can give"
    ),
    (["--particles", "1000000000000"], "--particles must be at most 2147483647, is 1000000000000"),
    (["--mode", "train", "--particles", "9223372036854775807"], "--particles must be at most 2147483647"),
  ])
  func refusesArguments(_ arguments: [String], _ message: String) {
    do {
      let command = try Bench.parse(arguments)
      try command.run()
      Issue.record("nothing was thrown")
    } catch {
      let complaint = "\(error) \(Bench.message(for: error))"
      #expect(complaint.contains(message), "\(complaint)")
    }
  }

  /// A run that comes to nothing leaves earlier figures as they were.
  @Test func keepsFiguresOfEarlierRuns() throws {
    try withTemporaryFolder { folder in
      let file = "\(folder)/bench.json"
      try Data("[]".utf8).write(to: URL(fileURLWithPath: file))
      let command = try Bench.parse(["--mode", "forward", "--particles", "2000000000", "--json", file])
      #expect(throws: CoixError.self) { try command.run() }
      #expect(try String(contentsOfFile: file, encoding: .utf8) == "[]")
    }
  }

  @Test func writesFigures() throws {
    try withTemporaryFolder { folder in
      let file = "\(folder)/bench.json"
      let command = try Bench.parse([
        "--workload", "vae", "--particles", "5000", "--threads", "1,3", "--repeats", "2", "--json", file,
      ])
      try command.run()
      let records = try Self.records(file)
      #expect(records.count == 6)
      for mode in ["forward", "gradient", "train"] {
        let rows = records.filter { $0.mode == mode }
        #expect(rows.map(\.threads) == [1, 3])
        #expect(rows.map(\.ranks) == [1, 1])
        #expect(Set(rows.map(\.digest)).count == 1)
        for row in rows {
          #expect(row.workload == "vae")
          #expect(row.particles == (mode == "train" ? 300 : 5_000))
          #expect(row.minSeconds > 0 && row.minSeconds <= row.medianSeconds)
          #expect(abs(row.particlesPerSecond * row.medianSeconds / Double(row.particles) - 1) < 1e-9)
          #expect((0...1).contains(row.serialShare))
          #expect(row.peakMemoryMB ?? 1 > 0)
        }
      }
    }
  }

  /// What ranks exchange in a step, as scripts/scaling predicts by it.
  @Test func measuresWhatRanksExchange() throws {
    let traffic = try Ranks.inProcess(3) { ranks in
      let before = ranks.traffic
      var all = [UInt8](repeating: UInt8(ranks.index), count: 6_000)
      for _ in 0..<4 {
        _ = try ranks.first(1)
        try all.withUnsafeMutableBytes { bytes in
          if let base = bytes.baseAddress { try ranks.gather(parts: base, counts: [3, 2, 1], unit: 1_000) }
        }
      }
      return try MeasuredTraffic(before, ranks.traffic, steps: 2, seconds: 1_000, ranks)
    }
    for (rank, traffic) in traffic.enumerated() {
      #expect((traffic.gatherings, traffic.messages, traffic.messageBytes) == (4, 0, 0))
      // Of each of the two meetings of a step, less than 200 bytes to two others.
      let sent = Double(2 * 2 * 1_000 * (3 - rank))
      #expect(traffic.gatheredBytes > sent && traffic.gatheredBytes < sent + 800)
      #expect(traffic.sentBytes == traffic.gatheredBytes + Double(2 * 2 * 1_000 * rank))
      #expect(traffic.meetingSeconds > 0 && traffic.bytesPerSecond > 0)
      #expect((0..<1).contains(traffic.share))
    }
  }

  /// Each workload on few particles, of several chunks where that is quick.
  @Test(arguments: Workloads.all.map(\.name))
  func givesTheSameOnAnyNumberOfThreads(_ name: String) throws {
    let workload = try #require(Workloads.all.first { $0.name == name })
    let few = ["filter": 100, "mixture": 4, "gmm": 2, "dmm": 2, "bmnist": 2]
    let many = ["random": 300_000, "resample": 300_000]
    let particles = few[name] ?? many[name] ?? 2_100
    try withTemporaryFolder { folder in
      let file = "\(folder)/bench.json"
      try Bench.parse([
        "--workload", name, "--particles", "\(particles)", "--threads", "1,2", "--repeats", "1", "--json",
        file,
      ]).run()
      let records = try Self.records(file)
      #expect(records.map(\.workload) == Array(repeating: name, count: 2 * workload.modes.count))
      for (mode, count) in workload.modes {
        let rows = records.filter { $0.mode == mode.rawValue }
        #expect(rows.map(\.threads) == [1, 2])
        #expect(Set(rows.map(\.digest)).count == 1)
        // Training has particles of its own, unless it is all that there is.
        let isAlone = mode != .train || workload.modes.count == 1
        #expect(rows.allSatisfy { $0.particles == (isAlone ? particles : count) })
      }
    }
  }
}
