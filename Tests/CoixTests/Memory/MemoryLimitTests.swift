import Coix
import Foundation
import Testing

/// What cannot be had is an error that says how much it was, in a process that may have little memory.
@Suite struct MemoryLimitTests {
  /// What the probe prints under a limit to its address space, and its status.
  private func probe(_ request: String, megabytes: Int, scale: Int, budget: String? = nil) throws
    -> (output: String, status: Int32)
  {
    let products = Bundle.module.bundleURL.deletingLastPathComponent()
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = [
      "-c", "ulimit -v \(megabytes * 1024) && exec \"$0\" \"$@\"",
      products.appending(path: "MemoryProbe").path, request, "\(scale)",
    ]
    // Otherwise each thread's allocator reserves addresses of its own.
    process.environment = ProcessInfo.processInfo.environment.merging(["MALLOC_ARENA_MAX": "1"]) { $1 }
    process.environment?["COIX_MEMORY_BUDGET"] = budget
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let output = String(decoding: try pipe.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    return (output.trimmingCharacters(in: .whitespacesAndNewlines), process.terminationStatus)
  }

  private static let scale = 150_000_000

  @Test(arguments: [
    ("plate", "a site's values on the whole plate needs 1879048192 bytes"),
    ("nest", "a site's values on the whole plate needs 1879048192 bytes"),
    ("mappedNest", "mapping data over nested plates needs 1800000000 bytes"),
    ("resampling", "resampling 450000000 rows needs 1800000000 bytes"),
    ("residualResampling", "resampling 450000000 rows needs 1800000000 bytes"),
    ("chunks", "a plate cut into 150000000 chunks needs"),
    ("tensor", "a tensor of 150000000 numbers needs 600000000 bytes"),
    ("keys", "PRNGKey.split needs 2400000000 bytes"),
    ("permutation", "permutation needs 4800000000 bytes"),
    ("statistics", "statistics of 75000000 particles needs 3000000000 bytes"),
    ("gradient", "a tensor of 75000000 numbers needs 300000000 bytes"),
    ("dataset", "150000000 points of the two moons needs 7200000000 bytes"),
    ("scalars", "Tensor.scalars needs 600000000 bytes"),
    ("lists", "a tensor of 450000000 numbers needs 1800000000 bytes"),
    ("positions", "gathered needs 1200000000 bytes"),
    ("table", "a tensor of 150000000 numbers needs 600000000 bytes"),
    ("product", "a tensor of 75000000 numbers needs 300000000 bytes"),
    ("support", "the values of a draw needs"),
    ("array", "a copy of a tensor's numbers needs 600000000 bytes"),
  ])
  func whatCannotBeHadIsAnError(_ request: String, _ message: String) throws {
    let (output, status) = try probe(request, megabytes: 1_200, scale: Self.scale)
    #expect(status == 0)
    #expect(output.hasPrefix(message), "\(output)")
    #expect(output.hasSuffix("bytes, more than this machine can give"))
  }

  /// What reading a file takes, besides its numbers, is an error that names the file.
  @Test func files() throws {
    let (output, status) = try probe("comments", megabytes: 400, scale: 40_000_000)
    #expect(status == 0)
    #expect(
      output.contains(".csv: more than") && output.contains(" comments would need")
        && output.contains("bytes of memory, which cannot be had"),
      "\(output)")
  }

  /// The probe's requests are legal, only too large.
  @Test(arguments: [
    "plate", "resampling", "tensor", "keys", "statistics", "gradient", "dataset", "scalars", "lists",
    "positions", "table", "product", "support", "array", "comments",
  ])
  func lessCanBeHad(_ request: String) throws {
    let (output, status) = try probe(request, megabytes: 1_200, scale: 4_000)
    #expect(status == 0)
    #expect(output == "no error")
  }

  /// Under a small budget, a filter's gradient takes less memory, and has the same bits.
  @Test func budgets() throws {
    func run(_ budget: String?) throws -> [Substring] {
      try probe("filter", megabytes: 8_000, scale: 200_000, budget: budget).output.split(separator: "\n")
    }
    let (all, some) = (try run("4G"), try run("180M"))
    #expect(all.count == 3 && some.count == 3, "\(all), \(some)")
    #expect(all[0] == some[0])
    let peaks = try [all, some].map { try #require(Int($0[1])) }
    #expect(peaks[1] < peaks[0] * 2 / 3, "\(peaks) MiB")
    let refused = try run("8M").joined()
    #expect(
      refused.hasPrefix("what is kept of 200000 rows, with all else that must be in memory, needs "),
      "\(refused)")
    #expect(refused.contains("bytes; the memory budget is 8388608. What would help: "), "\(refused)")
    let wrong = try run("abc").joined()
    #expect(wrong.hasPrefix("COIX_MEMORY_BUDGET is \"abc\"; it must be a number of bytes"), "\(wrong)")
  }
}
