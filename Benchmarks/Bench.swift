import ArgumentParser
import Coix
import CoixParallel
import ExampleModels
import Foundation

/// Times the workloads at several thread counts.
@main
public struct Bench: ParsableCommand {
  public static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Time the runtime's workloads at several thread counts.",
    discussion: """
      Prints the median over the repeats, the rate, the speed-up over one thread (if that was measured), \
      the efficiency (speed-up for each thread), the serial share of the time, peak memory, and a hash of the result's bits: the \
      same in all rows of a mode. Serial is the time in which one thread alone works: neither do workers share chunks, nor does \
      a team share what is done to all particles at once. What more threads would share is not serial, so that one thread has a \
      share, too. With --counters also a step's heap allocations, those of them that were made while parallel regions ran, and \
      its instructions, where the machine tells. In mode train times are those of a step, and a particle is, with vae, a point \
      of the batch. Under mpirun or srun all ranks share the work, each with so many threads, and the first one prints: for \
      each step the bytes that the rank which sends most has sent, and the first rank's share of the time in exchanges.
      """)

  @Option(help: ArgumentHelp("What to run: \(Workloads.names). (default: all)", valueName: "name"))
  var workload: String?
  @Option(
    help: "What to time of it: \(Mode.allCases.map(\.rawValue).joined(separator: ", ")). (default: all)")
  var mode: Mode?
  @Option(
    parsing: .unconditional,
    help: "Particles, or rows of data; training has its own unless --mode train. (default: the workload's)")
  var particles: Int?
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "N for 1, 2, 4, … up to N; a list T1,T2,… for just these. (default: up to the cores)",
      valueName: "n|t1,t2,…"))
  var threads: ThreadCounts?
  @Flag(help: "Take a single number of --threads for itself, without those below it.")
  var exact = false
  @Option(
    parsing: .unconditional,
    help: "Timings for each row; each takes 50 ms or more. (default: 7, above a second 3)")
  var repeats: Int?
  @Option(help: ArgumentHelp("Write the figures into a file, too.", valueName: "file"), completion: .file())
  var json: String?
  @Flag(help: "Count heap allocations and instructions, too.")
  var counters = false
  @Flag(help: "Only print the seconds from the start of this process to a first result of 3,000 particles.")
  var firstResult = false

  public init() {}

  /// Runs the command.
  public static func main() {
    Console.run { arguments in
      var command = try parseAsRoot(arguments)
      try command.run()
    } orEnd: { error in
      // What isn't an error, such as help, is an answer.
      if exitCode(for: error) == .success {
        Console.exit(0) { Console().answer(fullMessage(for: error)) }
      }
      Console.exit(exitCode(for: error).rawValue, because: error) { exit(withError: error) }
    }
  }

  public func validate() throws {
    do { for count in threads?.counts(exact: exact) ?? [] { _ = try Workers(threads: count) } } catch let
      error as CoixError
    {
      throw ValidationError(error.description)
    }
    if let workload, Workloads.all.allSatisfy({ $0.name != workload }) {
      throw ValidationError("there is no workload '\(workload)'; there are: \(Workloads.names)")
    }
    if let mode, let workload = Workloads.all.first(where: { $0.name == workload }),
      !workload.modes.contains(where: { $0.key == mode })
    {
      let modes = workload.modes.map(\.key.rawValue).joined(separator: ", ")
      throw ValidationError("\(workload.name) has no mode '\(mode.rawValue)'; it has: \(modes)")
    }
    if let particles, particles < 1 {
      throw ValidationError("--particles must be at least 1, is \(particles)")
    }
    if let particles, particles > Int32.max {
      throw ValidationError("--particles must be at most \(Int32.max), is \(particles)")
    }
    if let repeats, !(1...1_000_000).contains(repeats) {
      throw ValidationError("--repeats must be between 1 and 1,000,000, is \(repeats)")
    }
  }

  /// What the user says about particles; training takes it only if it alone is asked for.
  private func particles(of workload: any Workload, _ mode: Mode) -> Int? {
    let isAlone = self.mode == mode || self.workload == workload.name && workload.modes.count == 1
    return mode != .train || isAlone ? particles : nil
  }

  public func run() throws {
    let ranks = try Ranks.join()
    let threadCounts = (threads ?? .upTo(Workers(ranks: ranks).threads)).counts(exact: exact)
    let console = Console(quiet: !ranks.isFirst)
    if firstResult {
      console.answer(try FirstResult.json())
      return
    }
    console.say(Machine.description)
    // Before any thread starts, since it counts those that come after it.
    let stepCounters = counters ? StepCounters() : nil
    for (count, reason) in (stepCounters?.missing ?? [:]).sorted(by: { $0.key < $1.key }) {
      console.say("no \(count): \(reason)")
    }
    console.say(ResultTable.head(withCounters: counters, withTraffic: ranks.count > 1))
    var measurements: [Measurement] = []
    // Before anything takes its time: whether the file can be written.
    if let json, ranks.isFirst { try WholeFile.checkWritable(json) }
    for workload in Workloads.all where self.workload ?? workload.name == workload.name {
      for (mode, defaultParticles) in workload.modes where self.mode ?? mode == mode {
        let rows = try workload.measure(
          mode, particles: particles(of: workload, mode) ?? defaultParticles, threads: threadCounts,
          ranks, repeats: repeats, counters: stepCounters
        ) { row, base in console.say(ResultTable.line(row, comparedWith: base)) }
        measurements += rows
        if Set(rows.map(\.digest)).count > 1 {
          Console.complain(head: "Warning", "results depend on the number of threads")
        }
        if let json, ranks.isFirst { try JSONFile.write(measurements, to: json) }
      }
    }
  }
}
