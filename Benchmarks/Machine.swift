import Coix
import CoixKernels
import CoixParallel
import Foundation

/// What the figures were measured on.
enum Machine {
  /// One line: processor, cores, instruction set, and whether anything is not optimised.
  static var description: String {
    let cores = Workers.standard.threads
    let openMP = coix_has_openmp() == 1 ? "OpenMP" : "no OpenMP"
    var parts = [
      processor, "\(cores) core\(cores == 1 ? "" : "s")",
      "kernels \(String(cString: coix_instruction_set())), \(openMP)",
    ]
    if coix_is_optimised() == 0 { parts.append("kernels NOT OPTIMISED") }
    #if DEBUG
      parts.append("Swift side NOT OPTIMISED (debug build): figures come from `swift run -c release bench`")
    #endif
    return parts.joined(separator: "; ")
  }

  private static var processor: String {
    let lines = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8))?.split(separator: "\n") ?? []
    let model = lines.first { $0.hasPrefix("model name") }?.split(separator: ":").last
    return model?.trimmingCharacters(in: .whitespaces) ?? "unknown processor"
  }
}

/// The greatest amount of memory that the process had resident.
enum PeakMemory {
  /// Starts anew, where the system allows that. Memory that the allocator keeps still counts.
  static func reset() {
    try? "5".write(toFile: "/proc/self/clear_refs", atomically: false, encoding: .ascii)
  }

  /// The peak since the last reset, in MiB; nil where the system doesn't tell.
  static var megabytes: Double? {
    let lines =
      (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8))?.split(separator: "\n") ?? []
    let peak = lines.first { $0.hasPrefix("VmHWM:") }?.filter(\.isNumber)
    return peak.flatMap { Double($0) }.map { $0 / 1024 }
  }
}
