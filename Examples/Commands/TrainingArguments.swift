import ArgumentParser
import Coix
import ExampleModels
import Foundation

/// What every example that trains can be told.
struct TrainingArguments: ParsableArguments {
  @Option(parsing: .unconditional, help: "Seed of data, parameters and draws.")
  var seed = 0
  @Option(
    parsing: .unconditional,
    help: "Threads, of each rank under mpirun; may exceed the cores. (default: one for each core)")
  var threads: Int?
  @Option(
    help: ArgumentHelp("A folder for the results: .npy, .npz, .json.", valueName: "dir"),
    completion: .directory)
  var out: String?
  @Option(
    help: ArgumentHelp(
      "A file for the losses of training, a JSON object in a line.", valueName: "file.jsonl"),
    completion: .file())
  var metrics: String?
  @Option(
    help: ArgumentHelp(
      "A file for checkpoints. (default: checkpoint.safetensors in the folder of --out)",
      valueName: "file.safetensors"),
    completion: .file())
  var checkpoint: String?
  @Option(
    parsing: .unconditional, help: "Steps from one checkpoint to the next. (default: one at the end only)")
  var checkpointEvery: Int?
  @Flag(
    help: """
      Go on from the checkpoint, if there is one; it must be of the same settings, but for the number of steps.
      """)
  var resume = false
  @Flag(help: "Print a hash of the bits of all losses and results; after --resume, of the losses since then.")
  var digest = false
  @Flag(name: .shortAndLong, help: "Print nothing but errors and the digest.")
  var quiet = false

  func validate() throws {
    do {
      _ = try workers()
    } catch let error as CoixError {
      throw ValidationError(error.description)
    }
    if checkpointPath == nil, resume || checkpointEvery != nil {
      throw ValidationError("--resume and --checkpoint-every need --checkpoint or --out")
    }
    if let checkpointEvery, checkpointEvery < 1 {
      throw ValidationError("the steps between checkpoints must be at least 1, are \(checkpointEvery)")
    }
  }

  /// The ranks that a launcher has started, and the threads of each.
  ///
  /// - Throws: `CoixError.threads(_:)`; `CoixError.ranks(_:)`.
  func workers() throws -> Workers {
    let ranks = try Ranks.join()
    return try threads.map { try Workers(threads: $0, ranks: ranks) } ?? Workers(ranks: ranks)
  }

  /// Where the example says what it finds: on the first rank.
  var console: Console { get throws { Console(quiet: try quiet || !Ranks.join().isFirst) } }

  /// Has the first rank write an example's results into the folder of `--out`, if there is one.
  ///
  /// - Throws: what `write` throws.
  func write(_ fileNames: [String], _ write: (String) throws -> Void) throws {
    guard let out else { return }
    try Ranks.join().onFirst { try write(out) }
    try console.say("Wrote \(fileNames.joined(separator: ", ")) to \(out)")
  }

  private var checkpointPath: String? { checkpoint ?? out.map { "\($0)/checkpoint.safetensors" } }

  /// Says what losses there are in this run, and prints the digest if it was asked for.
  ///
  /// - Parameter resumedStep: the step after which the run went on from a checkpoint; nil if it took all steps.
  /// - Throws: what `digest` throws.
  func close(resumedStep: Int?, _ digest: () throws -> Digest) throws {
    let console = try console
    if let resumedStep {
      console.say(
        "Went on after step \(resumedStep): parameters are those of one whole run, losses those of the later steps"
      )
    }
    guard self.digest else { return }
    let scope = resumedStep.map { ", with the losses after step \($0)" } ?? ""
    let digest = try digest()
    if try Ranks.join().isFirst { console.answer("digest\(scope): \(digest)") }
  }

  /// How the example trains. The folder for the results is made.
  ///
  /// - Parameters:
  ///   - names: the files of the results, in the folder of `--out`.
  ///   - input: the file of the data.
  /// - Throws: `CoixError`, for threads or a folder that cannot be had, and where a file would be written over that is read, or
  ///   another result.
  func options(writing names: [String], reading input: String? = nil) throws -> TrainingOptions {
    if let out { try makeFolder(out) }
    var known: Set<String> = []
    let results = out.map { out in names.map { "\(out)/\($0)" } } ?? []
    for path in results + [metrics, checkpointPath].compactMap({ $0 }) {
      if let input, WholeFile.isSame(path, as: input) {
        throw CoixError.file(path: path, reason: "is the file of the data, which would be lost")
      }
      guard known.insert(WholeFile.resolved(path)).inserted else {
        throw CoixError.file(
          path: path, reason: "would be written twice; --checkpoint and --metrics need files of their own")
      }
    }
    var options = TrainingOptions()
    options.workers = try workers()
    options.reports = quiet ? .none : .standardError
    options.metrics = metrics
    options.checkpoint = checkpointPath
    options.checkpointEvery = checkpointEvery
    options.resumes = resume
    options.stopsOnSignals = true
    return options
  }

  private func makeFolder(_ path: String) throws {
    // Why it failed shows in what is there now.
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue,
      FileManager.default.isWritableFile(atPath: path)
    else { throw CoixError.file(path: path, reason: "is not a folder that can be made and written to") }
  }
}
