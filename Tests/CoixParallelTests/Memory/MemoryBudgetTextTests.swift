import Foundation
import Testing

@testable import CoixParallel

/// Budgets as texts, and the limits of control groups.
@Suite struct MemoryBudgetTextTests {
  static let sizes: [(String, Int)] = [
    ("1", 1), ("800000000", 800_000_000), ("1K", 1 << 10), ("512M", 512 << 20), ("2G", 2 << 30),
    ("3t", 3 << 40), ("8191T", 8191 << 40), ("\(Int.max)", Int.max), ("1.5G", 3 << 29), ("2GiB", 2 << 30),
    ("512MiB", 512 << 20), ("7KB", 7 << 10), ("1gb", 1 << 30), ("0.25tib", 1 << 38), ("0.3333K", 341),
    ("8388607.5T", 16_777_215 << 39),
  ]

  @Test(arguments: sizes)
  func texts(_ text: String, _ bytes: Int) throws {
    #expect(try MemoryBudget(text: text).bytes == bytes)
  }

  @Test(arguments: [
    "", "abc", "0", "-1", "0G", "-2G", "1.5", "G", "1B", "1iB", "1GG", "1Gi", "1GiBB", "1 G", " 1",
    "8388608T",
    "\(Int.max)0", "\(Int.max)K", "9999999.5T", "0.0001K", "1.2.3G", ".G", "-1.5G", "1e9", "1e9G", "+", "١",
  ])
  func textsThatAreNone(_ text: String) {
    #expect(
      throws: CoixError.argument(
        "COIX_MEMORY_BUDGET is \"\(text)\"; it must be a number of bytes from 1 to 2^63 - 1, such as 800000000, 512M or 1.5G (K, M, G or T)"
      )
    ) { try MemoryBudget(text: text) }
  }

  @Test func withoutAnything() throws {
    let standard = try MemoryBudget(nil).bytes
    #expect(standard >= 1 && standard <= Memory.physical)
    #expect(try MemoryBudget(5).bytes == 5)
    #expect(try MemoryBudget(5).isChosen)
    #expect(try MemoryBudget(text: "5").isChosen)
  }

  private func limit(_ files: [String: String]) throws -> Int? {
    let root = FileManager.default.temporaryDirectory.appending(path: "coix-groups-\(UUID())")
    defer { try? FileManager.default.removeItem(at: root) }
    for (path, text) in files {
      let url = root.appending(path: path)
      try FileManager.default.createDirectory(
        at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try text.write(to: url, atomically: true, encoding: .utf8)
    }
    return ControlGroup.memoryLimit(root: root.path)
  }

  @Test func controlGroups() throws {
    #expect(try limit([:]) == nil)
    let second = ["proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n"]
    #expect(try limit(second) == nil)
    #expect(try limit(second.merging(["sys/fs/cgroup/a/memory.max": "7000\n"]) { $1 }) == 7_000)
    #expect(try limit(second.merging(["sys/fs/cgroup/a/b/memory.max": "500\n"]) { $1 }) == 500)
    #expect(try limit(["proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "900\n"]) == 900)
    // A container's own view, of a path that only the host has.
    #expect(try limit(["proc/self/cgroup": "0::/host/x\n", "sys/fs/cgroup/memory.max": "900\n"]) == 900)
    let first = [
      "proc/self/cgroup": "12:cpu,cpuacct:/c\n4:memory:/m\nnonsense\n",
      "sys/fs/cgroup/memory/m/memory.limit_in_bytes": "4096\n",
      "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    ]
    #expect(try limit(first) == 4_096)
  }
}
