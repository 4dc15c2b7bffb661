import Coix
import ExampleModels
import Foundation

// What `scripts/test-large` runs, one process for each: LargeRows WHAT ROWS FOLDER LIMIT THREADS
//
// Each prints what it took, and fails if more memory than LIMIT MiB has been resident.

/// Writes points into a file, a part after the other.
func makeData(_ count: Int, _ path: String) throws {
  let shape = "{'descr': '<f4', 'fortran_order': False, 'shape': (\(count), 2), }"
  let header = shape.padding(toLength: 117, withPad: " ", startingAt: 0) + "\n"
  guard FileManager.default.createFile(atPath: path, contents: nil),
    let file = FileHandle(forWritingAtPath: path)
  else { throw CoixError.file(path: path, reason: "cannot be written") }
  try file.write(
    contentsOf: [0x93] + Data("NUMPY".utf8) + [1, 0, UInt8(header.utf8.count), 0] + Data(header.utf8))
  let part = 1 << 20
  for start in stride(from: 0, to: count, by: part) {
    let points = Draw(key: PRNGKey(seed: start), shape: [min(part, count - start), 2]).normal()
    try points.withScalars { try file.write(contentsOf: Data(buffer: $0)) }
  }
  try file.close()
}

/// The greatest memory that the process has had resident, in MiB.
func peakMemory() throws -> Int {
  let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
  let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
  guard let kilobytes = line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap({ Int($0) })
  else {
    throw CoixError.argument("the system does not say how much memory was resident")
  }
  return kilobytes / 1024
}

func seconds(_ body: () throws -> Void) rethrows -> Double {
  let start = DispatchTime.now().uptimeNanoseconds
  try body()
  return Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9
}

@main
struct LargeRows {
  let count: Int
  let workers: Workers
  let file: NPYFile
  let weights: String
  let vae = VAE(key: 0)

  /// Evidence of so many rows, from a file or from memory, and log-weights into a file or into memory.
  func forward(_ rows: Int, _ data: (Plate) -> Tensor, files: [RowResult: RowFile]) throws -> Float {
    let plate = VAE.plate(rows)
    let options = EvaluationOptions(workers: workers, keep: .metrics, files: files)
    return try evaluate(vae.inference(plate), seed: 1, options: options)(data(plate)).metrics.logZ.scalar
  }

  func gradient(_ rows: Int, _ data: (Plate) -> Tensor) throws -> Float {
    let plate = VAE.plate(rows)
    let options = EvaluationOptions(workers: workers, keep: .metrics)
    return try valueWithGradient(at: vae, workers: workers) { vae in
      try evaluate(vae.inference(plate, loss: .elbo), seed: 1, options: options)(data(plate)).metrics.loss
    }.value
  }

  func say(_ what: String, _ rows: Int, _ time: Double, _ result: Float) {
    let rate = String(format: "%.2f", Double(rows) / time * 1e-6)
    print(
      "\(what): \(rows) rows in \(String(format: "%.1f", time)) s, \(rate) million a second, result \(result)"
    )
  }

  /// A part of the rows, from the file and into one, and in memory, in turn.
  func compare(_ rows: Int) throws {
    let memory = try file.rows(0..<rows)
    for what in ["forward", "gradient"] {
      var times: [[Double]] = [[], []]
      var results: Set<Float> = []
      for _ in 0..<(rows <= 8 << 20 ? 15 : 3) {
        let sources: [(Plate) -> Tensor] = [{ $0.mapped(memory) }, { $0.mapped(file, rows: 0..<rows) }]
        for (number, data) in sources.enumerated() {
          let files: [RowResult: RowFile] = number == 0 ? [:] : [.logWeight: .npy(weights)]
          // A new file each time: to free one that is replaced takes the disk's time, too.
          unlink(weights)
          times[number].append(
            try seconds {
              results.insert(try what == "forward" ? forward(rows, data, files: files) : gradient(rows, data))
            })
        }
      }
      let medians = times.map { $0.sorted()[$0.count / 2] }
      for (place, time) in zip(["in memory", "from a file"], medians) {
        say("\(what) \(place)", rows, time, results.first ?? .nan)
      }
      guard results.count == 1 else { throw CoixError.argument("the results differ: \(results)") }
      let ratios = zip(times[0], times[1]).map { $1 / $0 }.sorted()
      print(
        "\(what): from a file takes \(String(format: "%.2f", ratios[ratios.count / 2])) times as long, the median of \(ratios.count) pairs"
      )
      guard what == "forward" else { continue }
      let disk = try (0..<ratios.count).map { _ in try seconds { try writeToDisk(rows) } }.sorted()
      print(
        "the disk alone takes \(String(format: "%.3f", disk[disk.count / 2])) s to have so many log-weights")
    }
  }

  /// What any way to have log-weights on the disk takes at least: as many bytes, written and waited for.
  private func writeToDisk(_ rows: Int) throws {
    let part = Data(count: 1 << 20)
    let path = weights + ".disk"
    defer { unlink(path) }
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o666)
    guard descriptor >= 0 else { throw CoixError.file(path: path, reason: "cannot be written") }
    defer { close(descriptor) }
    for start in stride(from: 0, to: 4 * rows, by: part.count) {
      let count = min(part.count, 4 * rows - start)
      guard part.withUnsafeBytes({ pwrite(descriptor, $0.baseAddress, count, off_t(start)) }) == count else {
        throw CoixError.file(path: path, reason: "cannot be written")
      }
    }
    guard fsync(descriptor) == 0 else { throw CoixError.file(path: path, reason: "cannot be written") }
  }

  static func main() throws {
    let arguments = CommandLine.arguments
    guard arguments.count == 6, let count = Int(arguments[2]), let limit = Int(arguments[4]),
      let threads = Int(arguments[5])
    else { throw CoixError.argument("LargeRows make|compare|forward|gradient ROWS FOLDER LIMIT THREADS") }
    let (what, path) = (arguments[1], "\(arguments[3])/rows.npy")
    if what == "make" { return try makeData(count, path) }
    let large = LargeRows(
      count: count, workers: try Workers(threads: threads), file: try NPYFile(path),
      weights: "\(arguments[3])/weights.npy")
    var result: Float = 0
    switch what {
    case "compare":
      try large.compare(min(count, 8 << 20))
      if count > 8 << 20 { try large.compare(min(count, 64 << 20)) }
    case "forward":
      let time = try seconds {
        result = try large.forward(
          count, { $0.mapped(large.file) }, files: [.logWeight: .npy(large.weights)])
      }
      large.say(what, count, time, result)
      guard try NPYFile(large.weights).shape == [count] else {
        throw CoixError.argument("the weights are not there")
      }
    default:
      let rows = max(count / 2, 1)
      let time = try seconds { result = try large.gradient(rows) { $0.mapped(large.file, rows: 0..<rows) } }
      large.say(what, rows, time, result)
    }
    guard what != "compare" else { return }
    let peak = try peakMemory()
    print("\(what): \(peak) MiB were resident at most")
    guard peak <= limit else { throw CoixError.argument("\(peak) MiB were resident, more than \(limit)") }
  }
}
