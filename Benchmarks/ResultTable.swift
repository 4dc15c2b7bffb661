import Foundation

/// Measurements as lines for people.
enum ResultTable {
  private static let titles = [
    "workload", "mode", "particles", "ranks", "threads", "median", "particles/s", "speed-up", "efficiency",
    "serial",
    "peak", "digest",
  ]
  private static let counterTitles = ["allocations", "in regions", "instructions"]
  private static let trafficTitles = ["sent", "exchanging"]
  private static let widths = [-10, -8, 11, 5, 7, 10, 13, 8, 10, 7, 8, 16]
  private static let counterWidths = [11, 10, 14]
  private static let trafficWidths = [13, 10]

  static func head(withCounters: Bool, withTraffic: Bool) -> String {
    line(titles, widths) + (withCounters ? "  " + line(counterTitles, counterWidths) : "")
      + (withTraffic ? "  " + line(trafficTitles, trafficWidths) : "")
  }

  /// A measurement, compared with that of one thread.
  static func line(_ row: Measurement, comparedWith base: Measurement?) -> String {
    let speedUp = base.map { $0.medianSeconds / row.medianSeconds }
    let counts = row.counters.map {
      [$0.allocationsPerStep, $0.regionAllocationsPerStep, $0.instructionsPerStep].map { count in
        count.map(average) ?? "?"
      }
    }
    let cells = [
      row.workload, row.mode, grouped(row.particles), "\(row.ranks)", "\(row.threads)",
      time(row.medianSeconds),
      grouped(Int(row.particlesPerSecond)), speedUp.map { String(format: "%.2f", $0) } ?? "-",
      speedUp.map { String(format: "%.0f %%", 100 * $0 / Double(row.threads)) } ?? "-",
      String(format: "%.1f %%", 100 * row.serialShare),
      row.peakMemoryMB.map { String(format: "%.0f MB", $0) } ?? "?", row.digest,
    ]
    let traffic = row.traffic.map {
      ["\(grouped(Int($0.sentBytes.rounded()))) B", String(format: "%.1f %%", 100 * $0.share)]
    }
    return
      ([line(cells, widths)]
      + [counts.map { line($0, counterWidths) }, traffic.map { line($0, trafficWidths) }].compactMap(\.self))
      .joined(separator: "  ")
  }

  /// Cells padded to their columns' widths; negative widths put the text to the left.
  private static func line(_ cells: [String], _ widths: [Int]) -> String {
    zip(cells, widths).map { cell, width in
      let padding = String(repeating: " ", count: max(0, abs(width) - cell.count))
      return width < 0 ? cell + padding : padding + cell
    }.joined(separator: "  ")
  }

  private static func time(_ seconds: Double) -> String {
    seconds >= 1
      ? String(format: "%.3f s", seconds)
      : seconds >= 1e-3 ? String(format: "%.3f ms", seconds * 1e3) : String(format: "%.1f µs", seconds * 1e6)
  }

  /// A count that is an average, with a decimal if it is small.
  private static func average(_ count: Double) -> String {
    count < 100 ? String(format: "%.1f", count) : grouped(Int(count.rounded()))
  }

  private static func grouped(_ number: Int) -> String {
    var digits = String(number)
    var groups: [String] = []
    while digits.count > 3 {
      groups.insert(String(digits.suffix(3)), at: 0)
      digits.removeLast(3)
    }
    return ([digits] + groups).joined(separator: ",")
  }
}
