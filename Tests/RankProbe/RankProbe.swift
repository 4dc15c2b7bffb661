import Coix
import CoixParallel
import Foundation

// One of several ranks, with something that goes wrong on rank 1: `scripts/test-mpi` starts it by mpirun. It is a program of its own
// since it ends in the ways that a program can end.

/// What a rank does.
enum Act: String {
  /// Says whether an MPI library is loaded.
  case libraries
  /// Evaluates again and again. Rank 1 prints its process id first.
  case loop
  /// Rank 1 prints its process id and sleeps, or crashes, while the others wait for it.
  case asleep, crash
  /// Rank 1 exits after an evaluation, with status 0 or 3, while the others go on.
  case exit0, exit3
  /// Rank 1 doesn't come any more.
  case hang
  /// Rank 1 evaluates something else.
  case differ
  /// A closure throws an error of its own in the last chunk.
  case fail
  /// Evaluates with a resampling whose weights are all in the last rows, and prints a hash of the particles.
  case weights
  /// Trains, in steps of 50 ms, with a checkpoint after each of them in the file that the second argument names, and prints a hash of the
  /// parameters. Rank 1 prints its process id first. A signal ends it with the signal's status.
  case train
  /// Filters two million particles, and prints by how much its memory has grown at most.
  case memory
  /// Evaluates with results in files `w.npy`, `z.npy` and `o.npy` of the folder that the second argument names.
  case files
}

struct OutOfPaper: Error {}

@main
struct RankProbe {
  static let plate = Plate("particle", count: 10_000, chunkRows: 64)
  static let kernel = Kernel { trace in trace.sample("z", from: Normal(0, 1)) }

  static func main() {
    do {
      guard let act = CommandLine.arguments.dropFirst().first.flatMap(Act.init) else {
        throw CoixError.argument("RankProbe: which act?")
      }
      try play(act)
    } catch {
      if Ranks.reports(error) { FileHandle.standardError.write(Data("\(error)\n".utf8)) }
      exit(70)
    }
  }

  static func play(_ act: Act) throws {
    let ranks = try Ranks.join()
    let options = EvaluationOptions(workers: try Workers(threads: 1, ranks: ranks))
    func run(_ program: Kernel<Tuple<>, Tuple<Tensor>> = kernel, in plate: Plate = plate) throws {
      _ = try evaluate(plate(program), seed: 0, options: options)()
    }
    let isBroken = ranks.index == 1
    func say(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }
    switch act {
    case .libraries:
      let isLoaded = dlsym(nil, "MPI_Init_thread") != nil
      say("rank \(ranks.index) of \(ranks.count), MPI \(isLoaded ? "is" : "is not") loaded")
      try run()
    case .loop:
      if isBroken { say("pid \(getpid())") }
      while true { try run() }
    case .asleep, .crash:
      try run()
      if isBroken, act == .crash { abort() }
      if isBroken { say("pid \(getpid())") }
      if isBroken { sleep(1_000) }
      try run()
    case .exit0, .exit3:
      try run()
      if isBroken { exit(act == .exit0 ? 0 : 3) }
      while true { try run() }
    case .hang:
      try run()
      if isBroken { sleep(1_000) }
      while true { try run() }
    case .differ:
      try run()
      if isBroken { try run(in: Plate("particle", count: 5_000, chunkRows: 64)) }
      while true { try run() }
    case .fail:
      let rows = Tensor((0..<10_000).map { Float($0) })
      let broken = Kernel { (trace, row: Tensor) in
        if !row.isWithin(0...9_990) { throw OutOfPaper() }
        return trace.sample("z", from: Normal(row, 1))
      }
      _ = try evaluate(plate(broken), seed: 0, options: options)(plate.mapped(rows))
    case .weights:
      let rows = Tensor((0..<10_000).map { $0 < 9_900 ? -Float.infinity : Float($0 % 7) })
      let weigh = Model { (trace, weight: Tensor) in
        let z = trace.sample("z", from: Normal(0, 1))
        trace.observe("x", 0, from: Delta(0, logDensity: weight))
        return z
      }
      let start = Kernel { (trace, weight: Tensor) in trace.sample("z", from: Normal(0, 1)) }
      let inference = resample(propose(plate(weigh), plate(start)))
      let particles = try evaluate(inference, seed: 0, options: options)(plate.mapped(rows)).output.values
      let hash = particles.scalars.reduce(UInt64(0)) { ($0 &* 31) &+ UInt64($1.bitPattern) }
      say("particles \(String(hash, radix: 16))")
    case .files:
      let folder = CommandLine.arguments.dropFirst(2).first ?? "."
      var options = options
      options.keep = .metrics
      options.files = [
        .logWeight: .npy("\(folder)/w.npy"), .site("z"): .npy("\(folder)/z.npy"),
        .output(): .npy("\(folder)/o.npy"),
      ]
      let model = Model { trace in
        let z = trace.sample("z", from: Normal(.zeros([3]), 1).event(1))
        trace.observe("x", 0.5, from: Normal(z.sum(), 1))
        return z * 2
      }
      _ = try evaluate(Plate("particle", count: 100_003)(model), seed: 0, options: options)()
      if ranks.isFirst { say("written") }
    case .train:
      if isBroken { say("pid \(getpid())") }
      try train(options)
      if ranks.isFirst { say("done") }
    case .memory:
      let before = peak
      try filter(options)
      say("grown \((peak - before) >> 10) MiB")
    }
  }

  /// The most memory that the process has had so far, in KiB.
  static var peak: Int {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    return line.flatMap { Int($0.filter(\.isNumber)) } ?? 0
  }

  /// Eight numbers a particle, with a resampling after each of some steps. Each rank has its own rows of the result.
  static func filter(_ evaluation: EvaluationOptions) throws {
    let plate = Plate("particle", count: 2_000_000)
    let start = Kernel { trace in trace.sample("x", from: Normal(.zeros([8]), 1).event(1)) }
    let weigh = Model { trace in
      let x = trace.sample("x", from: Normal(.zeros([8]), 1).event(1))
      trace.observe("y", Tensor(repeating: 0.3, shape: [8]), from: Normal(x, 2).event(1))
      return x
    }
    let move = Kernel { (trace, x: Tensor) in trace.sample("z", from: Normal(0.9 * x, 1).event(1)) }
    var options = evaluation
    (options.keep, options.resultRows) = (.metrics, .own)
    var filter = resample(propose(plate(weigh), plate(start)))
    for _ in 0..<3 { filter = resample(compose(plate(move), filter)) }
    let evaluation = try evaluate(filter, seed: 0, options: options)()
    if options.workers.ranks.isFirst { print("log Z \(try evaluation.metrics.logZ.scalar.bitPattern)") }
  }

  static func train(_ evaluation: EvaluationOptions) throws {
    var options = TrainingOptions()
    options.workers = evaluation.workers
    options.checkpoint = CommandLine.arguments.dropFirst(2).first
    options.checkpointEvery = 1
    options.resumes = true
    options.stopsOnSignals = true
    let pause: (TrainingStep) -> Void = { _ in usleep(50_000) }
    let plate = Plate("particle", count: 400, chunkRows: 16)
    let points = Draw(key: 7, shape: [400]).normal() * 0.3 + 2
    let trained = try Coix.train(
      [Tensor(0), Tensor(0)], by: Adam(for: [Tensor(0), Tensor(0)]), steps: 40, seed: 0, options: options,
      onStep: pause
    ) { parameters, key in
      let proposal = Kernel { (trace, x: Tensor) in
        trace.sample("z", from: Normal(parameters[0] + 0.5 * x, exp(parameters[1])))
      }
      let model = Model { (trace, x: Tensor) in
        let z = trace.sample("z", from: Normal(0, 1))
        trace.observe("x", x, from: Normal(z, 0.5))
        return z
      }
      return try evaluate(
        propose(plate(model), plate(proposal), loss: .elbo), seed: key, options: evaluation)(
          plate.mapped(points)
        ).metrics.loss
    }
    if case .interrupted(let signal) = trained.end { exit(128 + signal) }
    let bits = trained.parameters.map { String($0.scalar.bitPattern, radix: 16) }
    if evaluation.workers.ranks.isFirst { print("parameters \(bits.joined(separator: " "))") }
  }
}
