import Foundation

/// How many bytes an evaluation may take.
package struct MemoryBudget: Equatable, Sendable {
  package let bytes: Int
  /// Whether somebody has asked for it.
  package let isChosen: Bool

  /// The budget that a caller asks for; else that of `COIX_MEMORY_BUDGET` in the environment, as the process found it; else three
  /// quarters of the memory that the process may have.
  ///
  /// - Throws: ``CoixError/argument(_:)`` for a number below one, and for a text in the environment that is no number of bytes.
  package init(_ asked: Int?) throws(CoixError) {
    guard let asked else {
      self = try Self.standard.get()
      return
    }
    guard asked >= 1 else {
      throw .argument("the memory budget must be at least 1 byte, is \(asked)")
    }
    self.init(bytes: asked, isChosen: true)
  }

  private init(bytes: Int, isChosen: Bool) { (self.bytes, self.isChosen) = (bytes, isChosen) }

  /// A budget as a text: a number of bytes, or of K, M, G or T of them, which are 1,024 times as much each as the one before,
  /// whether B, iB or nothing follows.
  ///
  /// - Throws: ``CoixError/argument(_:)``.
  package init(text: String) throws(CoixError) {
    let number = text.prefix { "0123456789.".contains($0) }
    let unit = text.dropFirst(number.count).uppercased()
    let exponents: [Character?: Int] = [nil: 0, "K": 10, "M": 20, "G": 30, "T": 40]
    let exponent = ["", "B", "IB"].contains(unit.dropFirst()) ? exponents[unit.first] : nil
    guard let exponent, let bytes = Self.bytes(number, exponent), bytes >= 1 else {
      throw .argument(
        "COIX_MEMORY_BUDGET is \"\(text)\"; it must be a number of bytes from 1 to 2^63 - 1, such as 800000000, 512M or 1.5G (K, M, G or T)"
      )
    }
    self.init(bytes: bytes, isChosen: true)
  }

  /// So many times two to the power of `exponent`, whole bytes; nil if these are no number.
  private static func bytes(_ text: Substring, _ exponent: Int) -> Int? {
    if let number = Int(text) { return number <= Int.max >> exponent ? number << exponent : nil }
    guard exponent > 0, let number = Double(text) else { return nil }
    return Int(exactly: (number * Double(1 << exponent)).rounded(.down))
  }

  private static let standard: Result<MemoryBudget, CoixError> = {
    guard let text = ProcessInfo.processInfo.environment["COIX_MEMORY_BUDGET"], !text.isEmpty else {
      let available = min(Memory.physical, ControlGroup.memoryLimit() ?? .max)
      return .success(MemoryBudget(bytes: max(available / 4 * 3, 1), isChosen: false))
    }
    return Result { () throws(CoixError) in try MemoryBudget(text: text) }
  }()
}

/// The group of processes that Linux counts this one in, which may have a limit of memory of its own.
enum ControlGroup {
  /// The least limit of the process's group and the groups around it, in bytes; nil if there is none.
  ///
  /// - Parameter root: where the system's files are; another folder in tests.
  static func memoryLimit(root: String = "") -> Int? {
    func read(_ path: String) -> String? { try? String(contentsOfFile: root + path, encoding: .utf8) }
    guard let groups = read("/proc/self/cgroup") else { return nil }
    var limits: [Int] = []
    for line in groups.split(separator: "\n") {
      // "0::/path" for version 2, "4:memory:/path" for version 1.
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3 else { continue }
      let (folder, file): (String, String)
      if parts[1].isEmpty {
        (folder, file) = ("/sys/fs/cgroup", "memory.max")
      } else if parts[1].split(separator: ",").contains("memory") {
        (folder, file) = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
      } else {
        continue
      }
      // Within a container, the path may be one that only the host has.
      var names = parts[2].split(separator: "/")
      while true {
        let text = read(([folder] + names.map(String.init) + [file]).joined(separator: "/"))
        if let limit = text.flatMap({ Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }) {
          limits.append(limit)
        }
        if names.popLast() == nil { break }
      }
    }
    return limits.min()
  }
}
