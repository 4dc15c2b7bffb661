import Coix
import ExampleModels
import Foundation

// What `scripts/test-large` runs, a process for each kind of work: LargeRows WORK ROWS FOLDER LIMIT THREADS
//
// Each prints what it took, and fails if more memory than LIMIT MiB has been resident.

/// What a process does.
enum Work: String, CaseIterable {
  /// Writes the file of points that the others read.
  case make
  /// Measures a part of the rows in files and in memory, in turn.
  case compare
  /// Evaluates all rows, with log-weights into a file.
  case forward
  /// Evaluates all rows, with points and log-weights in memory.
  case memory
  /// Takes the gradient over half of the rows.
  case gradient
  /// Evaluates more rows than numbers of 32 bits count.
  case beyond
}

/// What a `.npy` file of floats begins with.
func header(shape: String) -> [UInt8] {
  let text =
    "{'descr': '<f4', 'fortran_order': False, 'shape': \(shape), }".padding(
      toLength: 117, withPad: " ", startingAt: 0) + "\n"
  return [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(text.utf8.count), 0] + Array(text.utf8)
}

/// Writes points into a file, a part after the other.
func makeData(_ count: Int, _ path: String) throws {
  guard FileManager.default.createFile(atPath: path, contents: nil),
    let file = FileHandle(forWritingAtPath: path)
  else { throw CoixError.file(path: path, reason: "cannot be written") }
  try file.write(contentsOf: header(shape: "(\(count), 2)"))
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

func say(_ what: String, _ rows: Int, _ time: Double, _ result: Float) {
  let rate = String(format: "%.2f", Double(rows) / time * 1e-6)
  print(
    "\(what): \(rows) rows in \(String(format: "%.1f", time)) s, \(rate) million a second, result \(result)"
  )
}

/// More rows than numbers of 32 bits count, of one number each, in a file that is mostly a hole; log-weights into a file.
struct ManyRows {
  static let count = 1 << 31 + 100_003
  /// The rows whose numbers are not zero.
  static let marked = [0, 1 << 20, 1 << 31 - 1, 1 << 31, 1 << 31 + 1, count - 1]
  let workers: Workers
  let rows: String
  let weights: String

  private func makeData() throws {
    let bytes = header(shape: "(\(Self.count),)")
    guard FileManager.default.createFile(atPath: rows, contents: Data(bytes)),
      let file = FileHandle(forWritingAtPath: rows)
    else { throw CoixError.file(path: rows, reason: "cannot be written") }
    try file.truncate(atOffset: UInt64(bytes.count + 4 * Self.count))
    for (number, row) in Self.marked.enumerated() {
      try file.seek(toOffset: UInt64(bytes.count + 4 * row))
      try withUnsafeBytes(of: Float(number + 1)) { try file.write(contentsOf: Data($0)) }
    }
    try file.close()
  }

  /// x ~ Normal(z, 1), z ~ Normal(0, 1): the log-density of nearly all numbers, which are 0, is that of Normal(0, 2).
  private let model = Model { (trace, x: Tensor) in
    let z = trace.sample("z", from: Normal(0, 1))
    trace.observe("x", x, from: Normal(z, 1))
    return z
  }

  func run() throws -> (time: Double, logZ: Float) {
    try makeData()
    let (plate, file) = (Plate("row", count: Self.count), try NPYFile(rows))
    let program = propose(
      plate(model), plate(Kernel { (trace, _: Tensor) in trace.sample("z", from: Normal(0, 1)) }))
    func options(_ files: [RowResult: RowFile]) -> EvaluationOptions {
      EvaluationOptions(workers: workers, keep: .metrics, files: files)
    }
    var logZ: Float = 0
    let time = try seconds {
      logZ = try evaluate(program, seed: 3, options: options([.logWeight: .npy(weights)]))(plate.mapped(file))
        .metrics.logZ.scalar
    }
    guard (Double(logZ) + 0.5 * log(4 * Double.pi)).magnitude < 1e-4 else {
      throw CoixError.argument("the evidence of \(Self.count) rows is \(logZ)")
    }
    let written = try NPYFile(weights)
    guard written.shape == [Self.count] else {
      throw CoixError.argument("\(weights) has the shape \(written.shape)")
    }
    // Rows around those that are marked have the log-weights that they have by themselves.
    var seen: Set<[Float]> = []
    for row in Self.marked {
      let range = max(row - 20, 0)..<min(row + 20, Self.count)
      let part = plate.rows(range)
      let own = try evaluate(
        propose(part(model), part(Kernel { (trace, _: Tensor) in trace.sample("z", from: Normal(0, 1)) })),
        seed: 3,
        options: options([:]))(part.mapped(file, rows: range)).metrics.logWeight.scalars
      guard try written.rows(range).scalars == own, seen.insert(own).inserted else {
        throw CoixError.argument("the log-weights of rows \(range) are others than by themselves")
      }
    }
    // The file's own evidence, from all of its rows.
    let again = try logEvidence(in: written).scalar
    guard (again - logZ).magnitude < 1e-6 else {
      throw CoixError.argument("the evidence in the file is \(again), not \(logZ)")
    }
    return (time, logZ)
  }
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

  /// A part of the rows, from the file and into one, and in memory, in turn.
  func compare(_ rows: Int) throws {
    let memory = try file.rows(0..<rows)
    for what in ["forward", "gradient"] {
      var times: [[Double]] = [[], []]
      var results: Set<Float> = []
      for _ in 0..<(rows <= 8 << 20 ? 15 : 7) {
        let sources: [(Plate) -> Tensor] = [{ $0.mapped(memory) }, { $0.mapped(file, rows: 0..<rows) }]
        for (number, data) in sources.enumerated() {
          let files: [RowResult: RowFile] = number == 0 ? [:] : [.logWeight: .npy(weights)]
          // A new file each time: to free one that is replaced takes the disk's time, too. That time is over before the
          // next one begins.
          unlink(weights)
          sync()
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

  static func main() {
    let arguments = CommandLine.arguments
    guard arguments.count == 6, let work = Work(rawValue: arguments[1]), let count = Int(arguments[2]),
      let limit = Int(arguments[4]), let threads = Int(arguments[5]), count > 0, limit > 0, threads > 0
    else {
      let works = Work.allCases.map(\.rawValue).joined(separator: "|")
      complain("usage: LargeRows \(works) ROWS FOLDER LIMIT THREADS")
      exit(64)
    }
    do {
      try run(work, count, folder: arguments[3], limit: limit, threads: threads)
    } catch {
      complain("error: \(error)")
      exit(1)
    }
  }

  private static func complain(_ text: String) {
    FileHandle.standardError.write(Data("\(text)\n".utf8))
  }

  private static func run(_ work: Work, _ count: Int, folder: String, limit: Int, threads: Int) throws {
    let workers = try Workers(threads: threads)
    let path = "\(folder)/rows.npy"
    func largeRows() throws -> LargeRows {
      LargeRows(count: count, workers: workers, file: try NPYFile(path), weights: "\(folder)/weights.npy")
    }
    switch work {
    case .make: return try makeData(count, path)
    case .compare:
      let large = try largeRows()
      for rows in Set([8 << 20, 64 << 20].map { min($0, count) }).sorted() { try large.compare(rows) }
      return
    case .memory:
      let large = try largeRows()
      let points = try large.file.rows(0..<count)
      var result: Float = 0
      let time = try seconds { result = try large.forward(count, { $0.mapped(points) }, files: [:]) }
      say(work.rawValue, count, time, result)
      return
    case .forward:
      let large = try largeRows()
      var result: Float = 0
      let time = try seconds {
        result = try large.forward(
          count, { $0.mapped(large.file) }, files: [.logWeight: .npy(large.weights)])
      }
      say(work.rawValue, count, time, result)
      guard try NPYFile(large.weights).shape == [count] else {
        throw CoixError.argument("the weights are not there")
      }
    case .gradient:
      let large = try largeRows()
      let rows = max(count / 2, 1)
      var result: Float = 0
      let time = try seconds { result = try large.gradient(rows) { $0.mapped(large.file, rows: 0..<rows) } }
      say(work.rawValue, rows, time, result)
    case .beyond:
      let many = ManyRows(workers: workers, rows: "\(folder)/hole.npy", weights: "\(folder)/many.npy")
      let (time, logZ) = try many.run()
      say(work.rawValue, ManyRows.count, time, logZ)
    }
    try checkMemory(work, limit)
  }

  private static func checkMemory(_ work: Work, _ limit: Int) throws {
    let peak = try peakMemory()
    print("\(work): \(peak) MiB were resident at most")
    guard peak <= limit else { throw CoixError.argument("\(peak) MiB were resident, more than \(limit)") }
  }
}
