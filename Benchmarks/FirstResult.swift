import Coix
import ExampleModels
import Foundation

/// How long it takes from nothing to a result.
enum FirstResult {
  static let particles = 3_000

  /// Evaluates the VAE once and gives, as JSON, the seconds since this process was started.
  ///
  /// The kernel knows the start in ticks of 10 ms, rounded down: the figure is up to 10 ms too long, never
  /// too short.
  static func json() throws -> String {
    let data = try PointData.moons(particles, key: 0)
    let logZ = try VAE(key: 0).metrics(data, key: 0, workers: .standard).logZ.scalar
    guard let seconds = secondsSinceStart else {
      throw CoixError.file(path: "/proc/self/stat", reason: "does not tell when this process was started")
    }
    return String(
      format: #"{"firstResultSeconds": %.3f, "particles": %d, "logZ": %.4f}"#, seconds, particles,
      Double(logZ))
  }

  private static var secondsSinceStart: Double? {
    // The second field, the program's name, may hold anything, also blanks and parentheses; the start is the
    // 22nd.
    guard let text = try? String(contentsOfFile: "/proc/self/stat", encoding: .utf8),
      let fields = text.split(separator: ")").last?.split(separator: " "), fields.count > 19,
      let ticks = Double(fields[19])
    else { return nil }
    var now = timespec()
    #if os(Linux)
      guard clock_gettime(CLOCK_BOOTTIME, &now) == 0 else { return nil }
    #endif
    return Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9 - ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
  }
}
